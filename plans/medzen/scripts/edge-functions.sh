# Deploys edge functions, so that they start with the secrets as they are now, and asks which are active.
# Programs: bash, supabase. Run again, they are deployed again.
#   PROJECT                 reference of the project
#   FUNCTIONS               names, separated by spaces
#   SUPABASE_ACCESS_TOKEN   (secret) used by the program itself
set -euo pipefail
: "${PROJECT:?}" "${FUNCTIONS:?}" "${SUPABASE_ACCESS_TOKEN:?}"
for function in $FUNCTIONS; do
  supabase functions deploy "$function" --project-ref "$PROJECT"
  echo "$function is deployed"
done
listed=$(supabase functions list --project-ref "$PROJECT")
for function in $FUNCTIONS; do
  if ! grep -w -- "$function" <<<"$listed" | grep -qw ACTIVE; then
    echo "$function is not active" >&2
    exit 1
  fi
done
echo "all are active"
