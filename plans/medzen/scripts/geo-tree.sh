# Makes a name answer by where people are. A simple record of that name is replaced in the same batch.
# Programs: bash, aws. Run again, the same records are put once more.
#   ZONE, NAME      the hosted zone and the name, of type A
#   LEAVES          a line for each: set identifier, country or `default`, zone of the alias, its name, true or false for
#                   whether the target's health counts
#   KEEP            file for the simple record that was there, relative to the working tree; the way back needs it
set -euo pipefail
: "${ZONE:?}" "${NAME:?}" "${LEAVES:?}" "${KEEP:?}"

simple=$(aws route53 list-resource-record-sets --region us-east-1 --hosted-zone-id "$ZONE" --output json --query \
  "ResourceRecordSets[?Name=='$NAME.' && Type=='A' && !SetIdentifier] | [0]")
changes=""
if [ "$simple" != null ]; then
  mkdir -p -- "$(dirname -- "$KEEP")"
  printf '%s\n' "$simple" >"$KEEP"
  # Deleted exactly as it is: if somebody changes it in between, the whole batch fails.
  changes="{\"Action\": \"DELETE\", \"ResourceRecordSet\": $simple},"
fi
count=0
while read -r set country zone target evaluate; do
  if [ -z "$set" ]; then continue; fi
  if [ "$country" = default ]; then country="*"; fi
  changes="$changes{\"Action\": \"UPSERT\", \"ResourceRecordSet\": {\"Name\": \"$NAME\", \"Type\": \"A\",
    \"SetIdentifier\": \"$set\", \"GeoLocation\": {\"CountryCode\": \"$country\"},
    \"AliasTarget\": {\"HostedZoneId\": \"$zone\", \"DNSName\": \"$target\", \"EvaluateTargetHealth\": $evaluate}}},"
  count=$((count + 1))
  echo "$NAME [$set] $country: $target"
done <<<"$LEAVES"
id=$(aws route53 change-resource-record-sets --region us-east-1 --hosted-zone-id "$ZONE" --query ChangeInfo.Id --output text \
  --change-batch "{\"Comment\": \"geolocation of $NAME\", \"Changes\": [${changes%,}]}")
aws route53 wait resource-record-sets-changed --region us-east-1 --id "$id"
echo "$count records are in sync"
