# Copies each bucket to a backup bucket of its own, which is made if need be, and compares the number of objects.
# Programs: bash, aws. Adds objects to the backup buckets; removes none anywhere.
#   BUCKETS     names, separated by spaces
#   SUFFIX      a backup bucket is called as its bucket with this behind it
#   REGION      where the buckets and their backups are
set -euo pipefail
: "${BUCKETS:?}" "${SUFFIX:?}" "${REGION:?}"

# How many objects a bucket holds. `--output json`, because a text would have one number for each page.
objects() {
  aws s3api list-objects-v2 --region "$REGION" --bucket "$1" --query 'length(Contents || `[]`)' --output json
}

for bucket in $BUCKETS; do
  backup="$bucket$SUFFIX"
  if ! aws s3api head-bucket --region "$REGION" --bucket "$backup" >/dev/null 2>&1; then
    aws s3api create-bucket --region "$REGION" --bucket "$backup" \
      --create-bucket-configuration "LocationConstraint=$REGION" >/dev/null
    echo "$backup was made"
  fi
  aws s3api put-public-access-block --region "$REGION" --bucket "$backup" --public-access-block-configuration \
    BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true
  aws s3api put-bucket-versioning --region "$REGION" --bucket "$backup" --versioning-configuration Status=Enabled
  aws s3 sync "s3://$bucket" "s3://$backup" --region "$REGION" --only-show-errors
  here=$(objects "$bucket") there=$(objects "$backup")
  echo "$bucket: $there of $here objects"
  # Recordings that came in meanwhile are in neither number or in both; more in the backup is what was deleted since.
  if [ "$there" -lt "$here" ]; then
    echo "the backup of $bucket is not complete" >&2
    exit 1
  fi
done
