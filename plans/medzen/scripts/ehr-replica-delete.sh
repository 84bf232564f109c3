# Deletes the read replica. It holds nothing of its own, so there is no final snapshot.
# Programs: bash, aws. Refuses whatever is not a replica.
#   REPLICA, REPLICA_REGION
set -euo pipefail
: "${REPLICA:?}" "${REPLICA_REGION:?}"
source=$(aws rds describe-db-instances --region "$REPLICA_REGION" --db-instance-identifier "$REPLICA" \
  --query 'DBInstances[0].ReadReplicaSourceDBInstanceIdentifier' --output text)
if [ "$source" = None ]; then
  echo "$REPLICA is no replica any more: it is not deleted" >&2
  exit 1
fi
aws rds delete-db-instance --region "$REPLICA_REGION" --db-instance-identifier "$REPLICA" --skip-final-snapshot \
  --query DBInstance.DBInstanceStatus --output text
