# Makes the switch: a metric, an alarm on it, and a health check that follows the alarm.
# Programs: bash, aws. Makes at most one health check for a reference; run again, nothing changes.
#   REGION              where the metric and its alarm are: the region that takes the traffic
#   NAMESPACE, METRIC   0 means stay, 1 means that the health check fails
#   ALARM               name of the alarm
#   REFERENCE           makes two calls of this script one health check
set -euo pipefail
: "${REGION:?}" "${NAMESPACE:?}" "${METRIC:?}" "${ALARM:?}" "${REFERENCE:?}"

# The value first: an alarm that has never seen one has insufficient data.
aws cloudwatch put-metric-data --region "$REGION" --namespace "$NAMESPACE" --metric-name "$METRIC" --value 0
aws cloudwatch put-metric-alarm --region "$REGION" --alarm-name "$ALARM" --namespace "$NAMESPACE" --metric-name "$METRIC" \
  --statistic Maximum --period 60 --evaluation-periods 1 --threshold 1 \
  --comparison-operator GreaterThanOrEqualToThreshold --treat-missing-data ignore \
  --alarm-description "1 lets the health check of Frankfurt's record fail"
echo "alarm $ALARM in $REGION follows $NAMESPACE $METRIC"

id=$(aws route53 list-health-checks --region us-east-1 --output text --query \
  "HealthChecks[?CallerReference=='$REFERENCE'] | [0].Id")
if [ "$id" = None ]; then
  # With missing data it keeps its last status: a metric that nobody writes must not move anybody.
  id=$(aws route53 create-health-check --region us-east-1 --caller-reference "$REFERENCE" --query HealthCheck.Id --output text \
    --health-check-config "{\"Type\": \"CLOUDWATCH_METRIC\", \"InsufficientDataHealthStatus\": \"LastKnownStatus\",
      \"AlarmIdentifier\": {\"Region\": \"$REGION\", \"Name\": \"$ALARM\"}}")
  echo "health check $id was made"
fi
read -r type inverted disabled <<<"$(aws route53 get-health-check --region us-east-1 --health-check-id "$id" --output text --query \
  'HealthCheck.HealthCheckConfig.[Type, Inverted || `false`, Disabled || `false`]')"
echo "health check $id: $type, inverted $inverted, disabled $disabled"
[ "$type" = CLOUDWATCH_METRIC ] && [ "${inverted,,}" = false ] && [ "${disabled,,}" = false ]
printf 'HEALTH_CHECK=%s\n' "$id" >>"$CUTOVER_OUTPUT"
