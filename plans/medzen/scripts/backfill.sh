# Replicates what was in the buckets before the rules: one S3 batch job for each, until all are complete.
# Programs: bash, aws. Copies objects and deletes none. Run again, it copies only what is not replicated yet.
#   REGION      of the source buckets
#   BUCKETS     names, separated by spaces
#   ROLE        ARN of the role that replicates
#   POLL        seconds between two looks
set -euo pipefail
: "${REGION:?}" "${BUCKETS:?}" "${ROLE:?}" "${POLL:?}"
if ! [[ $ROLE =~ ^arn:[a-z-]+:[A-Za-z0-9:/_+=,.@-]+$ ]]; then
  echo "the role is no ARN" >&2
  exit 1
fi
account=$(aws sts get-caller-identity --region "$REGION" --query Account --output text)

for bucket in $BUCKETS; do
  # A job without a single object to copy fails, and there is nothing to do.
  first=$(aws s3api list-objects-v2 --region "$REGION" --bucket "$bucket" --max-items 1 --query 'Contents[0].Key' --output text)
  if [ "${first%%$'\n'*}" = None ]; then
    echo "$bucket is empty"
    continue
  fi
  # A job that is under way is waited for, whoever began it: two of them would copy everything twice.
  job=$(aws s3control list-jobs --region "$REGION" --account-id "$account" --output text \
    --job-statuses New Preparing Ready Active Suspended Paused --query "Jobs[?Description=='backfill of $bucket'] | [0].JobId")
  if [ "$job" = None ]; then
    job=$(aws s3control create-job --region "$REGION" --account-id "$account" --no-confirmation-required --priority 10 \
      --role-arn "$ROLE" --operation '{"S3ReplicateObject": {}}' --report '{"Enabled": false}' \
      --description "backfill of $bucket" --manifest-generator \
      "{\"S3JobManifestGenerator\": {\"ExpectedBucketOwner\": \"$account\", \"SourceBucket\": \"arn:aws:s3:::$bucket\",
        \"EnableManifestOutput\": false, \"Filter\": {\"EligibleForReplication\": true,
        \"ObjectReplicationStatuses\": [\"NONE\", \"FAILED\"]}}}" --query JobId --output text)
  fi
  echo "$bucket: job $job"
  while :; do
    read -r status total done failed <<<"$(aws s3control describe-job --region "$REGION" --account-id "$account" \
      --job-id "$job" --output text --query 'Job.[Status, ProgressSummary.TotalNumberOfTasks,
        ProgressSummary.NumberOfTasksSucceeded, ProgressSummary.NumberOfTasksFailed]')"
    echo "$bucket: $status, $done of $total objects, $failed failed"
    case $status in
      Complete) break ;;
      Failed | Cancelled | Suspended | Paused) exit 1 ;;
    esac
    sleep "$POLL"
  done
  [ "$failed" = 0 ]
done
