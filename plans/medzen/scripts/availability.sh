# Asks which of the services are offered in a region, and in the fallback region where they are not.
# Programs: bash, aws. Changes nothing.
#   REGION      the region that shall have them
#   ASK_IN      where the list is kept; it cannot be read from every region, so eu-central-1
#   SERVICES    service=fallback-region, separated by spaces; `-` where there must be no fallback
set -euo pipefail
: "${REGION:?}" "${ASK_IN:?}" "${SERVICES:?}"

# The names of all services of a region, one in a line. The list says nothing about features of a service.
services_of() {
  aws ssm get-parameters-by-path --region "$ASK_IN" --path "/aws/service/global-infrastructure/regions/$1/services" \
    --query 'Parameters[].[Value]' --output text
}

here=$(services_of "$REGION")
missing=0 offered=0 elsewhere=0
for entry in $SERVICES; do
  service=${entry%%=*} fallback=${entry#*=}
  if grep -qxF -- "$service" <<<"$here"; then
    offered=$((offered + 1))
    echo "$service: offered in $REGION"
  elif [ "$fallback" != - ] && grep -qxF -- "$service" <<<"$(services_of "$fallback")"; then
    elsewhere=$((elsewhere + 1))
    echo "$service: not in $REGION, used in $fallback"
  else
    missing=$((missing + 1))
    echo "$service: not in $REGION, and no fallback has it"
  fi
done
echo "$offered offered in $REGION, $elsewhere in a fallback region, $missing nowhere"
[ "$missing" -eq 0 ]
