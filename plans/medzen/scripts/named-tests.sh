# Runs the test scripts that the project has, one after the other, and stops at the first that fails.
# Programs: bash, and whatever the scripts use.
#   SCRIPTS     paths relative to the working tree, separated by spaces
set -euo pipefail
: "${SCRIPTS:?}"
for script in $SCRIPTS; do
  if [ ! -f "$script" ]; then
    echo "$script is not there" >&2
    exit 1
  fi
done
for script in $SCRIPTS; do
  echo "--- $script"
  bash -- "$script"
done
echo "all passed"
