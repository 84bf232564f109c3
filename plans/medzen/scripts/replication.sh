# Gives each bucket a rule that replicates it, and keeps every other rule that it has.
# Programs: bash, aws. Replaces the rule of this id; run again, nothing changes.
#   FROM_REGION
#   PAIRS       source=destination, separated by spaces
#   RULE        id of the rule
#   PRIORITY    of the rule; no other rule of the bucket may have it
#   ROLE        ARN of the role that replicates
#   KEY         ARN of the destination's key
set -euo pipefail
: "${FROM_REGION:?}" "${PAIRS:?}" "${RULE:?}" "${PRIORITY:?}" "${ROLE:?}" "${KEY:?}"
# Both come from other steps, and go into a JSON text below.
for arn in "$ROLE" "$KEY"; do
  if ! [[ $arn =~ ^arn:[a-z-]+:[A-Za-z0-9:/_+=,.@-]+$ ]]; then
    echo "a role or a key is no ARN" >&2
    exit 1
  fi
done

for pair in $PAIRS; do
  source=${pair%%=*} destination=${pair#*=}
  # Putting a configuration replaces it as a whole, and with it a rule to Cape Town that somebody made before.
  others=$(aws s3api get-bucket-replication --region "$FROM_REGION" --bucket "$source" \
    --query "ReplicationConfiguration.Rules[?ID!='$RULE']" --output json 2>/dev/null) || others="[]"
  rule="{\"ID\": \"$RULE\", \"Status\": \"Enabled\", \"Priority\": $PRIORITY, \"Filter\": {\"Prefix\": \"\"},
    \"DeleteMarkerReplication\": {\"Status\": \"Enabled\"},
    \"SourceSelectionCriteria\": {\"SseKmsEncryptedObjects\": {\"Status\": \"Enabled\"}},
    \"Destination\": {\"Bucket\": \"arn:aws:s3:::$destination\",
      \"EncryptionConfiguration\": {\"ReplicaKmsKeyID\": \"$KEY\"},
      \"ReplicationTime\": {\"Status\": \"Enabled\", \"Time\": {\"Minutes\": 15}},
      \"Metrics\": {\"Status\": \"Enabled\", \"EventThreshold\": {\"Minutes\": 15}}}}"
  if [ "$others" = "[]" ]; then rules="[$rule]"; else rules="[$rule, ${others#[}"; fi
  aws s3api put-bucket-replication --region "$FROM_REGION" --bucket "$source" \
    --replication-configuration "{\"Role\": \"$ROLE\", \"Rules\": $rules}"
  status=$(aws s3api get-bucket-replication --region "$FROM_REGION" --bucket "$source" \
    --query "ReplicationConfiguration.Rules[?ID=='$RULE'] | [0].Status" --output text)
  echo "$source to $destination: rule $RULE is $status"
  [ "$status" = Enabled ]
done
echo "metrics appear in about 15 minutes"
