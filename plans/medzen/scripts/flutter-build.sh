# Analyses, tests and builds the app, after making sure that it names the public domain.
# Programs: bash, flutter. Writes the build folder only; run again, it builds again.
#   ENVIRONMENT_FILE    relative to the working tree
#   DOMAIN              must be in it
#   OLD                 must not be in it: the end of a raw address in the old region
#   TARGETS             what to build, separated by spaces
set -euo pipefail
: "${ENVIRONMENT_FILE:?}" "${DOMAIN:?}" "${OLD:?}" "${TARGETS:?}"
if ! grep -qF -- "$DOMAIN" "$ENVIRONMENT_FILE" || grep -qF -- "$OLD" "$ENVIRONMENT_FILE"; then
  echo "$ENVIRONMENT_FILE does not name $DOMAIN only" >&2
  exit 1
fi
flutter clean
flutter pub get
flutter analyze
flutter test
for target in $TARGETS; do
  flutter build "$target" --release
  echo "$target is built"
done
