# Puts one dashboard that shows three regions: requests, failures, replication.
# Programs: bash, aws. Replaces the dashboard of this name.
#   REGION, NAME        where and how it is called
#   REGIONS             shown side by side, separated by spaces
#   API                 ApiName of API Gateway's metrics
#   REPLICATION         region:source:destination:rule, separated by spaces
set -euo pipefail
: "${REGION:?}" "${NAME:?}" "${REGIONS:?}" "${API:?}" "${REPLICATION:?}"
requests="" errors="" lags=""
for region in $REGIONS; do
  requests="$requests[\"AWS/ApiGateway\", \"Count\", \"ApiName\", \"$API\", {\"region\": \"$region\", \"stat\": \"Sum\"}],"
  errors="$errors[\"AWS/ApiGateway\", \"5XXError\", \"ApiName\", \"$API\", {\"region\": \"$region\", \"stat\": \"Average\"}],"
done
for entry in $REPLICATION; do
  IFS=: read -r region source destination rule <<<"$entry"
  lags="$lags[\"AWS/S3\", \"ReplicationLatency\", \"SourceBucket\", \"$source\", \"DestinationBucket\", \"$destination\",
    \"RuleId\", \"$rule\", {\"region\": \"$region\", \"stat\": \"Maximum\"}],"
done

# One graph: title, metrics, height from the top.
graph() {
  printf '{"type": "metric", "x": 0, "y": %s, "width": 24, "height": 6, "properties": {"title": "%s", "period": 60,
    "region": "%s", "metrics": [%s]}}' "$3" "$1" "$REGION" "${2%,}"
}
body="{\"widgets\": [$(graph Requests "$requests" 0), $(graph Failures "$errors" 6), $(graph "Replication lag" "$lags" 12)]}"
problems=$(aws cloudwatch put-dashboard --region "$REGION" --dashboard-name "$NAME" --dashboard-body "$body" \
  --query 'length(DashboardValidationMessages || `[]`)' --output text)
[ "$problems" = 0 ]
echo "dashboard $NAME in $REGION shows $REGIONS"
