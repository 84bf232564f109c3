# Sets secrets of the Supabase project and compares what is there afterwards.
# Programs: bash, supabase, sha256sum. Sets the named secrets only.
#   PROJECT                 reference of the project
#   NAMES                   names of the secrets, separated by spaces; the value of NAME is in SET_NAME
#   SUPABASE_ACCESS_TOKEN   (secret) used by the program itself
set -euo pipefail
: "${PROJECT:?}" "${NAMES:?}" "${SUPABASE_ACCESS_TOKEN:?}"
umask 077
file=$(mktemp)
trap 'rm -f -- "$file"' EXIT
for name in $NAMES; do
  variable="SET_$name"
  value=${!variable:-}
  # An empty one is what the source would have set for Bedrock; a line break would smuggle in another secret.
  if [ -z "$value" ] || [[ $value =~ [^[:graph:]] ]] || [[ $value == *[\"\'\`\$\\]* ]]; then
    echo "the value for $name is empty or has characters that no address and no region has" >&2
    exit 1
  fi
  printf '%s="%s"\n' "$name" "$value" >>"$file"
done
# Through a file and not on the command line, where every process of this machine could read it.
supabase secrets set --project-ref "$PROJECT" --env-file "$file"

# Supabase tells nobody a value, but its digest.
listed=$(supabase secrets list --project-ref "$PROJECT")
for name in $NAMES; do
  variable="SET_$name"
  digest=$(printf '%s' "${!variable}" | sha256sum)
  if ! grep -w -- "$name" <<<"$listed" | grep -qF -- "${digest%% *}"; then
    echo "$name is not what was set" >&2
    exit 1
  fi
  echo "$name is set"
done
