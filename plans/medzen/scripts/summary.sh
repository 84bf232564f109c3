# Counts stacks, functions, APIs, tables and buckets, and fails when one that should be there is not.
# Programs: bash, aws. Changes nothing.
#   STACKS      region=stack, separated by spaces; each is also asked for its API
#   FUNCTIONS   region=name,name,..., separated by spaces
#   TABLE       the audit table, looked for in the region of every stack
#   BUCKETS     region=name,name,..., separated by spaces
#   DOMAINS     region=name, separated by spaces: custom domains of API Gateway; may be empty
set -euo pipefail
: "${STACKS:?}" "${FUNCTIONS:?}" "${TABLE:?}" "${BUCKETS:?}"
missing=0

# Says what was found of what should be there: count NAME FOUND WANTED.
count() {
  printf '%-10s %s/%s\n' "$1" "$2" "$3"
  if [ "$2" -ne "$3" ]; then missing=$((missing + 1)); fi
}

stacks=0 apis=0 tables=0 wanted=0
for entry in $STACKS; do
  region=${entry%%=*} stack=${entry#*=} wanted=$((wanted + 1))
  status=$(aws cloudformation describe-stacks --region "$region" --stack-name "$stack" \
    --query 'Stacks[0].StackStatus' --output text) || status=absent
  case $status in
    CREATE_COMPLETE | UPDATE_COMPLETE | UPDATE_COMPLETE_CLEANUP_IN_PROGRESS | IMPORT_COMPLETE) stacks=$((stacks + 1)) ;;
    *) echo "$region: stack $stack is $status" ;;
  esac
  found=$(aws cloudformation describe-stack-resources --region "$region" --stack-name "$stack" --query \
    "length(StackResources[?ResourceType=='AWS::ApiGatewayV2::Api' || ResourceType=='AWS::ApiGateway::RestApi'])" \
    --output text) || found=0
  if [ "$found" -ge 1 ]; then apis=$((apis + 1)); else echo "$region: $stack has no API"; fi
  status=$(aws dynamodb describe-table --region "$region" --table-name "$TABLE" --query Table.TableStatus \
    --output text) || status=absent
  if [ "$status" = ACTIVE ]; then tables=$((tables + 1)); else echo "$region: table $TABLE is $status"; fi
done

functions=0 functions_wanted=0
for entry in $FUNCTIONS; do
  region=${entry%%=*}
  for name in $(tr ',' ' ' <<<"${entry#*=}"); do
    functions_wanted=$((functions_wanted + 1))
    # Runtime, and where the control region of the meetings comes from: a constant in the code shows as None.
    facts=$(aws lambda get-function-configuration --region "$region" --function-name "$name" \
      --query '[Runtime, Environment.Variables.CHIME_CONTROL_REGION]' --output text) || facts=absent
    if [ "$facts" = absent ]; then
      echo "$region: function $name is absent"
      continue
    fi
    functions=$((functions + 1))
    echo "$region: $name, runtime and control region: $(tr '\t' ' ' <<<"$facts")"
  done
done

buckets=0 buckets_wanted=0
for entry in $BUCKETS; do
  region=${entry%%=*}
  for name in $(tr ',' ' ' <<<"${entry#*=}"); do
    buckets_wanted=$((buckets_wanted + 1))
    if aws s3api head-bucket --region "$region" --bucket "$name" >/dev/null; then
      buckets=$((buckets + 1))
      # Seven years are at least 2,555 days. A bucket without a rule keeps everything, which is said and no error.
      days=$(aws s3api get-bucket-lifecycle-configuration --region "$region" --bucket "$name" \
        --query 'min(Rules[?Status==`Enabled`].Expiration.Days)' --output text 2>/dev/null) || days=none
      echo "$region: $name, objects expire after days: $days"
    else
      echo "$region: bucket $name is absent"
    fi
  done
done

domains=0 domains_wanted=0
for entry in ${DOMAINS:-}; do
  region=${entry%%=*} name=${entry#*=} domains_wanted=$((domains_wanted + 1))
  if aws apigateway get-domain-name --region "$region" --domain-name "$name" --query domainName --output text >/dev/null; then
    domains=$((domains + 1))
  else
    echo "$region: no custom domain $name"
  fi
done

count stacks "$stacks" "$wanted"
count functions "$functions" "$functions_wanted"
count APIs "$apis" "$wanted"
count tables "$tables" "$wanted"
count buckets "$buckets" "$buckets_wanted"
if [ "$domains_wanted" -gt 0 ]; then count domains "$domains" "$domains_wanted"; fi
if [ "$missing" -gt 0 ]; then
  echo "not everything is there" >&2
  exit 1
fi
