# Makes a read replica of the database in another region, and waits until it is available.
# Programs: bash, aws. Makes it once. It can be deleted; promoting it is no part of the plan and cannot be undone.
#   INSTANCE, REGION            the database, which stays the primary
#   REPLICA, REPLICA_REGION, CLASS
#   KEY                         the key there (empty: the database is not encrypted)
set -euo pipefail
: "${INSTANCE:?}" "${REGION:?}" "${REPLICA:?}" "${REPLICA_REGION:?}" "${CLASS:?}"
arn=$(aws rds describe-db-instances --region "$REGION" --db-instance-identifier "$INSTANCE" \
  --query 'DBInstances[0].DBInstanceArn' --output text)
if aws rds describe-db-instances --region "$REPLICA_REGION" --db-instance-identifier "$REPLICA" >/dev/null 2>&1; then
  echo "$REPLICA exists"
else
  key=()
  if [ -n "${KEY:-}" ]; then key=(--kms-key-id "$KEY"); fi
  aws rds create-db-instance-read-replica --region "$REPLICA_REGION" --source-region "$REGION" \
    --db-instance-identifier "$REPLICA" --source-db-instance-identifier "$arn" --db-instance-class "$CLASS" \
    --no-publicly-accessible "${key[@]}" --query DBInstance.DBInstanceStatus --output text
fi
echo "waiting for $REPLICA in $REPLICA_REGION"
aws rds wait db-instance-available --region "$REPLICA_REGION" --db-instance-identifier "$REPLICA"
source=$(aws rds describe-db-instances --region "$REPLICA_REGION" --db-instance-identifier "$REPLICA" \
  --query 'DBInstances[0].ReadReplicaSourceDBInstanceIdentifier' --output text)
# What is no replica is a database of its own: nothing would ever arrive there.
if [[ $source != *"$INSTANCE" ]]; then
  echo "$REPLICA replicates '$source' and not $INSTANCE" >&2
  exit 1
fi
echo "$REPLICA is available and replicates $INSTANCE"
