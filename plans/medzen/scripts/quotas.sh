# Says whether quotas leave room, and fails when one is below what the plan needs.
# Programs: bash, aws. Changes nothing.
#   REGION
#   QUOTAS      service-code:quota-code:at-least, separated by spaces
#   STRICT      yes: fails when one is too small; no: says so (the next step asks for more)
set -euo pipefail
: "${REGION:?}" "${QUOTAS:?}" "${STRICT:?}"
small=0
for entry in $QUOTAS; do
  IFS=: read -r service code least <<<"$entry"
  # A quota that nobody ever changed is only known as a default.
  value=$(aws service-quotas get-service-quota --region "$REGION" --service-code "$service" --quota-code "$code" \
    --query Quota.Value --output text 2>/dev/null) ||
    value=$(aws service-quotas get-aws-default-service-quota --region "$REGION" --service-code "$service" \
      --quota-code "$code" --query Quota.Value --output text)
  if [ "${value%.*}" -ge "$least" ]; then
    echo "$service $code: ${value%.*}, enough ($least)"
  else
    small=$((small + 1))
    echo "$service $code: ${value%.*}, too small ($least)"
  fi
done
if [ "$small" -gt 0 ] && [ "$STRICT" = yes ]; then exit 1; fi
