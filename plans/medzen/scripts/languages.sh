# Translates, lists vocabularies and finds entities, each in the region where the chat will ask for it.
# Programs: bash, aws. Changes nothing; each call costs a fraction of a cent.
#   TRANSLATE_REGION, TRANSCRIBE_REGION, MEDICAL_REGION
#   LANGUAGES   target languages, separated by spaces
#   MODEL, MODEL_REGION   the Bedrock model or inference profile, and where it is asked for
set -euo pipefail
: "${TRANSLATE_REGION:?}" "${TRANSCRIBE_REGION:?}" "${MEDICAL_REGION:?}" "${LANGUAGES:?}" "${MODEL:?}" "${MODEL_REGION:?}"

for language in $LANGUAGES; do
  text=$(aws translate translate-text --region "$TRANSLATE_REGION" --source-language-code en \
    --target-language-code "$language" --text "The patient has a fever." --query TranslatedText --output text)
  if [ -z "$text" ]; then
    echo "no translation to $language" >&2
    exit 1
  fi
  echo "translate, $TRANSLATE_REGION: en to $language works"
done

aws transcribe list-medical-vocabularies --region "$TRANSCRIBE_REGION" --query 'length(Vocabularies)' --output text >/dev/null
echo "transcribe, $TRANSCRIBE_REGION: medical vocabularies can be listed (Transcribe Medical knows en-US only)"

entities=$(aws comprehendmedical detect-entities-v2 --region "$MEDICAL_REGION" \
  --text "The patient presents with hypertension." --query 'length(Entities)' --output text)
if [ "$entities" -lt 1 ]; then
  echo "comprehendmedical, $MEDICAL_REGION: found no entity in a sentence that has one" >&2
  exit 1
fi
echo "comprehendmedical, $MEDICAL_REGION: $entities entities found"

aws bedrock get-inference-profile --region "$MODEL_REGION" --inference-profile-identifier "$MODEL" \
  --query status --output text | grep -qx ACTIVE
echo "bedrock, $MODEL_REGION: $MODEL is active"
