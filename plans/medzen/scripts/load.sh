# Runs the load test. Its own `ensure` section says which error rate and which times are good enough.
# Programs: bash, artillery. Sends real requests.
#   CONFIG      relative to the working tree
#   TARGET      address that the requests go to
#   REPORT      file for the result, relative to the working tree
set -euo pipefail
: "${CONFIG:?}" "${TARGET:?}" "${REPORT:?}"
if ! grep -q '^ *ensure:' "$CONFIG"; then
  echo "$CONFIG ensures nothing: a run could not fail" >&2
  exit 1
fi
mkdir -p -- "$(dirname -- "$REPORT")"
artillery run --target "$TARGET" --output "$REPORT" "$CONFIG"
echo "the load was carried; the figures are in $REPORT"
