# Sets parameters of the Firebase functions, reads them back, and deploys the functions that use them.
# Programs: bash, firebase. Changes the named lines of one file in the working tree and deploys the named functions.
#   PROJECT                 id of the Firebase project
#   FOLDER                  folder of the functions, relative to the working tree
#   NAMES                   names of the parameters, separated by spaces; the value of NAME is in SET_NAME
#   FUNCTIONS               names of the functions, separated by spaces
set -euo pipefail
: "${PROJECT:?}" "${FOLDER:?}" "${NAMES:?}" "${FUNCTIONS:?}"
file="$FOLDER/.env.$PROJECT"
touch -- "$file"
for name in $NAMES; do
  variable="SET_$name"
  value=${!variable:-}
  if [ -z "$value" ] || [[ $value =~ [^[:graph:]] ]] || [[ $value == *[\"\'\`\$\\]* ]]; then
    echo "the value for $name is empty or has characters that no address and no region has" >&2
    exit 1
  fi
  # Every other line stays as it is.
  grep -v "^$name=" "$file" >"$file.new" || true
  printf '%s=%s\n' "$name" "$value" >>"$file.new"
  mv -- "$file.new" "$file"
  grep -qxF -- "$name=$value" "$file"
  echo "$name is set"
done

only=""
for function in $FUNCTIONS; do only="$only${only:+,}functions:$function"; done
firebase deploy --project "$PROJECT" --only "$only" --non-interactive
listed=$(firebase functions:list --project "$PROJECT")
for function in $FUNCTIONS; do
  if ! grep -qw -- "$function" <<<"$listed"; then
    echo "$function is not there" >&2
    exit 1
  fi
  echo "$function is deployed"
done
