# Makes the monthly budget, with a mail when costs exceed it and one when they are expected to.
# Programs: bash, aws. Makes the budget once; one that exists gets the plan's limit. Budgets are kept in us-east-1.
#   NAME, LIMIT, CURRENCY       the budget
#   MAIL                        who is told
set -euo pipefail
: "${NAME:?}" "${LIMIT:?}" "${CURRENCY:?}" "${MAIL:?}"
account=$(aws sts get-caller-identity --region us-east-1 --query Account --output text)
budget="{\"BudgetName\": \"$NAME\", \"BudgetLimit\": {\"Amount\": \"$LIMIT\", \"Unit\": \"$CURRENCY\"},
  \"TimeUnit\": \"MONTHLY\", \"BudgetType\": \"COST\"}"
subscriber="[{\"SubscriptionType\": \"EMAIL\", \"Address\": \"$MAIL\"}]"
if aws budgets describe-budget --region us-east-1 --account-id "$account" --budget-name "$NAME" >/dev/null 2>&1; then
  aws budgets update-budget --region us-east-1 --account-id "$account" --new-budget "$budget"
  echo "budget $NAME has the limit $LIMIT $CURRENCY"
  exit 0
fi
aws budgets create-budget --region us-east-1 --account-id "$account" --budget "$budget" --notifications-with-subscribers "[
  {\"Notification\": {\"NotificationType\": \"ACTUAL\", \"ComparisonOperator\": \"GREATER_THAN\", \"Threshold\": 100},
   \"Subscribers\": $subscriber},
  {\"Notification\": {\"NotificationType\": \"FORECASTED\", \"ComparisonOperator\": \"GREATER_THAN\", \"Threshold\": 100},
   \"Subscribers\": $subscriber}]"
echo "budget $NAME made: $LIMIT $CURRENCY a month, mails at 100 % spent and 100 % expected"
