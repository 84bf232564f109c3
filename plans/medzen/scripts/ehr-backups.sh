# Keeps automated backups of the database in another region for some days.
# Programs: bash, aws. Starts the replication of backups once; where it runs already, nothing changes.
#   INSTANCE, REGION        the database
#   BACKUP_REGION, DAYS     where the backups go, and for how long they are kept
#   BACKUP_KEY              the key there (empty: the database is not encrypted)
set -euo pipefail
: "${INSTANCE:?}" "${REGION:?}" "${BACKUP_REGION:?}" "${DAYS:?}"

arn=$(aws rds describe-db-instances --region "$REGION" --db-instance-identifier "$INSTANCE" \
  --query 'DBInstances[0].DBInstanceArn' --output text)
kept=$(aws rds describe-db-instance-automated-backups --region "$BACKUP_REGION" --query \
  "DBInstanceAutomatedBackups[?DBInstanceArn=='$arn'] | [0].BackupRetentionPeriod" --output text)
if [ "$kept" = "$DAYS" ]; then
  echo "backups of $INSTANCE are kept in $BACKUP_REGION for $DAYS days already"
  exit 0
fi
key=()
if [ -n "${BACKUP_KEY:-}" ]; then key=(--kms-key-id "$BACKUP_KEY"); fi
aws rds start-db-instance-automated-backups-replication --region "$BACKUP_REGION" --source-region "$REGION" \
  --source-db-instance-arn "$arn" --backup-retention-period "$DAYS" "${key[@]}" \
  --query DBInstanceAutomatedBackup.Status --output text
echo "backups of $INSTANCE are kept in $BACKUP_REGION for $DAYS days"
