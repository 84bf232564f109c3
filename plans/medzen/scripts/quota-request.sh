# Asks for more where a quota is too small and nobody has asked yet.
# Programs: bash, aws. Makes at most one request for each quota.
#   REGION
#   QUOTAS      service-code:quota-code:at-least, separated by spaces
set -euo pipefail
: "${REGION:?}" "${QUOTAS:?}"
for entry in $QUOTAS; do
  IFS=: read -r service code least <<<"$entry"
  value=$(aws service-quotas get-service-quota --region "$REGION" --service-code "$service" --quota-code "$code" \
    --query Quota.Value --output text 2>/dev/null) ||
    value=$(aws service-quotas get-aws-default-service-quota --region "$REGION" --service-code "$service" \
      --quota-code "$code" --query Quota.Value --output text)
  if [ "${value%.*}" -ge "$least" ]; then
    echo "$service $code: ${value%.*} is enough"
    continue
  fi
  open=$(aws service-quotas list-requested-service-quota-change-history-by-quota --region "$REGION" \
    --service-code "$service" --quota-code "$code" --output text --query \
    "length(RequestedQuotas[?(Status=='PENDING' || Status=='CASE_OPENED') && DesiredValue>=\`$least\`])")
  if [ "$open" -gt 0 ]; then
    echo "$service $code: asked for already"
    continue
  fi
  aws service-quotas request-service-quota-increase --region "$REGION" --service-code "$service" --quota-code "$code" \
    --desired-value "$least" --query RequestedQuota.Status --output text >/dev/null
  echo "$service $code: ${value%.*} is too small, $least asked for"
done
