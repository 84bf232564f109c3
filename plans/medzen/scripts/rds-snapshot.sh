# Takes a snapshot of the database, waits for it, and copies it to another region.
# Programs: bash, aws. Makes at most one snapshot in each region; one that exists is used.
#   INSTANCE, REGION            the database
#   SNAPSHOT                    name of the snapshot
#   COPY_REGION, COPY_KEY       where the copy goes, and the key there (empty: the snapshot is not encrypted)
set -euo pipefail
: "${INSTANCE:?}" "${REGION:?}" "${SNAPSHOT:?}" "${COPY_REGION:?}"

status() {
  aws rds describe-db-snapshots --region "$1" --db-snapshot-identifier "$SNAPSHOT" \
    --query 'DBSnapshots[0].Status' --output text 2>/dev/null || echo absent
}

if [ "$(status "$REGION")" = absent ]; then
  aws rds create-db-snapshot --region "$REGION" --db-instance-identifier "$INSTANCE" \
    --db-snapshot-identifier "$SNAPSHOT" --query DBSnapshot.Status --output text
fi
echo "waiting for $SNAPSHOT in $REGION"
aws rds wait db-snapshot-available --region "$REGION" --db-snapshot-identifier "$SNAPSHOT"

arn=$(aws rds describe-db-snapshots --region "$REGION" --db-snapshot-identifier "$SNAPSHOT" \
  --query 'DBSnapshots[0].DBSnapshotArn' --output text)
if [ "$(status "$COPY_REGION")" = absent ]; then
  key=()
  if [ -n "${COPY_KEY:-}" ]; then key=(--kms-key-id "$COPY_KEY"); fi
  aws rds copy-db-snapshot --region "$COPY_REGION" --source-region "$REGION" --source-db-snapshot-identifier "$arn" \
    --target-db-snapshot-identifier "$SNAPSHOT" "${key[@]}" --query DBSnapshot.Status --output text
fi
echo "waiting for the copy in $COPY_REGION"
aws rds wait db-snapshot-available --region "$COPY_REGION" --db-snapshot-identifier "$SNAPSHOT"
echo "$SNAPSHOT is available in $REGION and $COPY_REGION"
