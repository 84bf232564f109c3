# Enables versioning of buckets, which replication needs on both sides.
# Programs: bash, aws. Versioning can be suspended later, and never be removed again.
#   BUCKETS     region=name,name,..., separated by spaces
set -euo pipefail
: "${BUCKETS:?}"
for entry in $BUCKETS; do
  region=${entry%%=*}
  for bucket in $(tr ',' ' ' <<<"${entry#*=}"); do
    aws s3api put-bucket-versioning --region "$region" --bucket "$bucket" --versioning-configuration Status=Enabled
    status=$(aws s3api get-bucket-versioning --region "$region" --bucket "$bucket" --query Status --output text)
    echo "$region: $bucket, versioning $status"
    [ "$status" = Enabled ]
  done
done
