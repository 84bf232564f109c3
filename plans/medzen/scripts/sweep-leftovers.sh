# Looks for what is left in regions that are no longer used, and fails while there is something. It deletes nothing:
# what it finds is somebody's, and a person decides.
# Programs: bash, aws. Changes nothing.
#   REGIONS     separated by spaces
#   PREFIX      how the project's things begin
#   FOLDER      the working tree's deployment folder, searched for names of the regions
set -euo pipefail
: "${REGIONS:?}" "${PREFIX:?}" "${FOLDER:?}"
left=0
for region in $REGIONS; do
  found=$({
    aws cloudformation list-stacks --region "$region" --output text --query \
      "StackSummaries[?starts_with(StackName, '$PREFIX') && StackStatus!='DELETE_COMPLETE'].['stack', StackName]"
    aws lambda list-functions --region "$region" --output text --query \
      "Functions[?starts_with(FunctionName, '$PREFIX')].['function', FunctionName]"
    aws dynamodb list-tables --region "$region" --output text --query "TableNames[?starts_with(@, '$PREFIX')].['table', @]"
    aws s3api list-buckets --region "$region" --output text --query \
      "Buckets[?starts_with(Name, '$PREFIX') && contains(Name, '$region')].['bucket', Name]"
  } | sed '/^None$/d; /^$/d')
  if [ -n "$found" ]; then
    left=$((left + $(wc -l <<<"$found")))
    sed "s/^/$region: /" <<<"$found"
  else
    echo "$region: nothing is left"
  fi
  if grep -rnwF -- "$region" "$FOLDER"; then
    echo "$region: the lines above still name it"
    left=$((left + 1))
  fi
done
[ "$left" -eq 0 ]
