# Takes one rule out of the replication of each bucket, and keeps every other.
# Programs: bash, aws. Objects stay where they are.
#   FROM_REGION, RULE
#   BUCKETS     names, separated by spaces
set -euo pipefail
: "${FROM_REGION:?}" "${BUCKETS:?}" "${RULE:?}"
for bucket in $BUCKETS; do
  role=$(aws s3api get-bucket-replication --region "$FROM_REGION" --bucket "$bucket" \
    --query ReplicationConfiguration.Role --output text 2>/dev/null) || continue
  others=$(aws s3api get-bucket-replication --region "$FROM_REGION" --bucket "$bucket" \
    --query "ReplicationConfiguration.Rules[?ID!='$RULE']" --output json)
  if [ "$others" = "[]" ]; then
    aws s3api delete-bucket-replication --region "$FROM_REGION" --bucket "$bucket"
  else
    aws s3api put-bucket-replication --region "$FROM_REGION" --bucket "$bucket" \
      --replication-configuration "{\"Role\": \"$role\", \"Rules\": $others}"
  fi
  echo "$bucket: rule $RULE is gone"
done
