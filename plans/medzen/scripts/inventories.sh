# Compares both sides of each bucket, object by object, and fails while one is missing.
# Programs: bash, aws, sort, comm. Changes nothing.
#   FROM_REGION, TO_REGION
#   PAIRS       source=destination, separated by spaces
#   LOOKS       how often it looks before it gives up
#   POLL        seconds between two looks
set -euo pipefail
: "${FROM_REGION:?}" "${TO_REGION:?}" "${PAIRS:?}" "${LOOKS:?}" "${POLL:?}"
export LC_ALL=C
folder=$(mktemp -d)
trap 'rm -rf -- "$folder"' EXIT

# Size and key of every object, sorted. Keys come encoded, so that one with a line break stays one line. Etags are no
# help: they differ where the two sides are encrypted with different keys.
inventory() {
  aws s3api list-objects-v2 --region "$1" --bucket "$2" --encoding-type url --query 'Contents[].[Size, Key]' --output text |
    { grep -v '^None$' || true; } | sort
}

for ((look = 1; look <= LOOKS; look++)); do
  if [ "$look" -gt 1 ]; then sleep "$POLL"; fi
  missing=0
  for pair in $PAIRS; do
    source=${pair%%=*} destination=${pair#*=}
    # The source first: what is written between the two lists is then in the second at most, and never counts as missing.
    inventory "$FROM_REGION" "$source" >"$folder/from"
    inventory "$TO_REGION" "$destination" >"$folder/to"
    comm -23 "$folder/from" "$folder/to" >"$folder/missing"
    total=$(wc -l <"$folder/from") left=$(wc -l <"$folder/missing")
    percent=100
    if [ "$total" -gt 0 ]; then percent=$(((total - left) * 100 / total)); fi
    echo "$source: $((total - left)) of $total objects, $percent %"
    if [ "$left" -gt 0 ]; then
      # The first few, as they are encoded, so that no key can draw on a terminal.
      head -n 3 "$folder/missing" | while read -r size key; do echo "  missing: $key ($size bytes)"; done
      missing=$((missing + left))
    fi
  done
  if [ "$missing" -eq 0 ]; then
    echo "nothing is missing"
    exit 0
  fi
done
echo "$missing objects are missing" >&2
exit 1
