# Takes the notification for .mp4 files off a bucket.
# Programs: bash, aws. Refuses a bucket that notifies somebody else as well.
#   REGION, BUCKET
set -euo pipefail
: "${REGION:?}" "${BUCKET:?}"
others=$(aws s3api get-bucket-notification-configuration --region "$REGION" --bucket "$BUCKET" --output text --query \
  "length([LambdaFunctionConfigurations[?Id!='medzen-recordings'], QueueConfigurations, TopicConfigurations][][])")
if [ "${others/None/0}" -gt 0 ]; then
  echo "$BUCKET notifies somebody else: take the rule off by hand" >&2
  exit 1
fi
aws s3api put-bucket-notification-configuration --region "$REGION" --bucket "$BUCKET" --notification-configuration '{}'
echo "$BUCKET calls nobody"
