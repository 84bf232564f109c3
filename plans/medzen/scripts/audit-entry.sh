# Looks up what the audit table says about a meeting, and fails unless the entry is complete.
# Programs: bash, aws. Changes nothing.
#   REGION, TABLE
#   MEETING     id of the meeting
#   APPOINTMENT what the meeting was asked for
set -euo pipefail
: "${REGION:?}" "${TABLE:?}" "${MEETING:?}" "${APPOINTMENT:?}"
# The id comes from an answer of the API, and goes into a JSON text below.
if ! [[ $MEETING =~ ^[A-Za-z0-9-]+$ ]]; then
  echo "the meeting's id has characters that no id has" >&2
  exit 1
fi
read -r pk sk action appointment ttl <<<"$(aws dynamodb query --region "$REGION" --table-name "$TABLE" --consistent-read \
  --key-condition-expression 'pk = :meeting' \
  --expression-attribute-values "{\":meeting\": {\"S\": \"MEETING#$MEETING\"}}" --output text \
  --query 'Items[0].[pk.S, sk.S, action.S, appointmentId.S, ttl.N]')"
echo "pk ${pk:-none}, sk ${sk:-none}, action ${action:-none}, appointmentId ${appointment:-none}, ttl ${ttl:-none}"
[ "$pk" = "MEETING#$MEETING" ]
[[ $sk == CREATED#* ]]
[ "$action" = CREATED ]
[ "$appointment" = "$APPOINTMENT" ]
[[ $ttl =~ ^[0-9]+$ ]]
echo "the audit entry of the meeting in $REGION is complete"
