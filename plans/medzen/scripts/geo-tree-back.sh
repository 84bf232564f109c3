# Replaces the geolocation records of a name by the simple record that was there before.
# Programs: bash, aws.
#   ZONE, NAME      the hosted zone and the name, of type A
#   KEEP            file with the simple record, relative to the working tree
set -euo pipefail
: "${ZONE:?}" "${NAME:?}" "${KEEP:?}"
simple=$(cat -- "$KEEP")
deletes=$(aws route53 list-resource-record-sets --region us-east-1 --hosted-zone-id "$ZONE" --output json --query \
  "ResourceRecordSets[?Name=='$NAME.' && Type=='A' && GeoLocation].{Action: \`\"DELETE\"\`, ResourceRecordSet: @}")
if [ "$deletes" = "[]" ]; then
  echo "$NAME has no geolocation records"
  exit 0
fi
# The list without its last bracket, the simple record behind it, and the bracket again.
id=$(aws route53 change-resource-record-sets --region us-east-1 --hosted-zone-id "$ZONE" --query ChangeInfo.Id --output text --change-batch \
  "{\"Comment\": \"$NAME as it was\", \"Changes\": ${deletes%]}, {\"Action\": \"CREATE\", \"ResourceRecordSet\": $simple}]}")
aws route53 wait resource-record-sets-changed --region us-east-1 --id "$id"
echo "$NAME is the simple record that it was"
