# Gives the key of the Chime stack its alias, sees to its rotation, and proves that media pipelines may use it.
# Programs: bash, aws. The key itself is made, and retained, by the stack; run again, nothing changes.
#   REGION, KEY, ALIAS, PRINCIPAL
set -euo pipefail
: "${REGION:?}" "${KEY:?}" "${ALIAS:?}" "${PRINCIPAL:?}"
arn=$(aws kms describe-key --region "$REGION" --key-id "$KEY" --query KeyMetadata.Arn --output text)
rotates() {
  aws kms get-key-rotation-status --region "$REGION" --key-id "$KEY" --query KeyRotationEnabled --output text
}
if [ "$(rotates)" != True ]; then aws kms enable-key-rotation --region "$REGION" --key-id "$KEY"; fi
echo "rotation: $(rotates)"

target=$(aws kms list-aliases --region "$REGION" --query "Aliases[?AliasName=='$ALIAS'] | [0].TargetKeyId" --output text)
case $target in
  None) aws kms create-alias --region "$REGION" --alias-name "$ALIAS" --target-key-id "${arn##*/}" ;;
  "${arn##*/}") ;;
  *)
    # Somebody's data may hang on what the alias means now.
    echo "$ALIAS already names another key: $target" >&2
    exit 1
    ;;
esac
policy=$(aws kms get-key-policy --region "$REGION" --key-id "$KEY" --policy-name default --query Policy --output text)
if ! grep -qF -- "$PRINCIPAL" <<<"$policy"; then
  echo "the key's policy does not name $PRINCIPAL" >&2
  exit 1
fi
echo "$ALIAS names the key, and $PRINCIPAL may use it"
printf 'KEY_ARN=%s\n' "$arn" >>"$CUTOVER_OUTPUT"
