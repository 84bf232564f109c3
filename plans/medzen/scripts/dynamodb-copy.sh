# Copies the items of tables to another region, and compares how many there are.
# Programs: bash, aws, sed. Writes items and deletes none. Both tables are only ever added to, so an item that is there
# already is written as it was.
#   FROM_REGION, TO_REGION
#   TABLES      source=destination, separated by spaces
set -euo pipefail
: "${FROM_REGION:?}" "${TO_REGION:?}" "${TABLES:?}"
umask 077
folder=$(mktemp -d)
trap 'rm -rf -- "$folder"' EXIT

# How many items a table has; the command adds up the pages.
items() {
  aws dynamodb scan --region "$1" --table-name "$2" --select COUNT --consistent-read --query Count --output json
}

for pair in $TABLES; do
  source=${pair%%=*} destination=${pair#*=}
  total=$(items "$FROM_REGION" "$source")
  token="" copied=0
  while :; do
    # Twenty-five items are what one write takes. The answer is a list of the next token, how many there are, and the write
    # itself; the command prints one of the first two in a line, so what follows them is the write.
    aws dynamodb scan --region "$FROM_REGION" --table-name "$source" --consistent-read --max-items 25 --page-size 25 \
      ${token:+--starting-token "$token"} --output json --query \
      "[NextToken, length(Items), {\"$destination\": Items[].{PutRequest: {Item: @}}}]" >"$folder/page"
    # Versions of the command differ in how they read binary values back, and a changed item would look like a copied one.
    if grep -qE '^ *"BS?": ("|\[)' "$folder/page"; then
      echo "$source has items with binary values, which this script does not copy" >&2
      exit 1
    fi
    token=$(sed -n '2s/^ *"\(.*\)",$/\1/p' "$folder/page")
    here=$(sed -n '3s/[^0-9]//gp' "$folder/page")
    if [ "$here" -gt 0 ]; then
      sed '1,3d; $d' "$folder/page" >"$folder/write"
      # What was not taken is given back, and the whole write is done again: an item twice is the same item.
      for ((attempt = 1; ; attempt++)); do
        left=$(aws dynamodb batch-write-item --region "$TO_REGION" --request-items "file://$folder/write" \
          --query 'length(keys(UnprocessedItems))' --output text)
        if [ "$left" = 0 ]; then break; fi
        if [ "$attempt" -ge 8 ]; then exit 1; fi
        sleep "$attempt"
      done
      copied=$((copied + here))
      echo "$source: $copied of $total items"
    fi
    if [ -z "$token" ]; then break; fi
  done
  arrived=$(items "$TO_REGION" "$destination")
  echo "$destination in $TO_REGION has $arrived items, $source in $FROM_REGION had $total"
  if [ "$arrived" -lt "$total" ]; then
    echo "items are missing" >&2
    exit 1
  fi
done
