# Lets a bucket call the recording handler for every .mp4 file that arrives from now on.
# Programs: bash, aws. Refuses a bucket that notifies somebody else; run again, nothing changes.
#   REGION, BUCKET, FUNCTION
set -euo pipefail
: "${REGION:?}" "${BUCKET:?}" "${FUNCTION:?}"
id=medzen-recordings
handler=$(aws lambda get-function-configuration --region "$REGION" --function-name "$FUNCTION" \
  --query FunctionArn --output text)
account=$(aws sts get-caller-identity --region "$REGION" --query Account --output text)

# Putting a configuration replaces it as a whole.
others=$(aws s3api get-bucket-notification-configuration --region "$REGION" --bucket "$BUCKET" --output text --query \
  "length([LambdaFunctionConfigurations[?Id!='$id'], QueueConfigurations, TopicConfigurations][][])")
if [ "${others/None/0}" -gt 0 ]; then
  echo "$BUCKET notifies somebody else: this would replace it" >&2
  exit 1
fi
policy=$(aws lambda get-policy --region "$REGION" --function-name "$FUNCTION" --query Policy --output text 2>/dev/null) || policy=""
if ! grep -qF -- "$id" <<<"$policy"; then
  aws lambda add-permission --region "$REGION" --function-name "$FUNCTION" --statement-id "$id" \
    --action lambda:InvokeFunction --principal s3.amazonaws.com --source-arn "arn:aws:s3:::$BUCKET" \
    --source-account "$account" --query Statement --output text >/dev/null
fi
aws s3api put-bucket-notification-configuration --region "$REGION" --bucket "$BUCKET" --notification-configuration \
  "{\"LambdaFunctionConfigurations\": [{\"Id\": \"$id\", \"LambdaFunctionArn\": \"$handler\",
    \"Events\": [\"s3:ObjectCreated:*\"],
    \"Filter\": {\"Key\": {\"FilterRules\": [{\"Name\": \"suffix\", \"Value\": \".mp4\"}]}}}]}"
echo "$BUCKET calls $FUNCTION for .mp4 files"
