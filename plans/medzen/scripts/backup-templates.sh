# Saves the template and the parameters of each stack in a folder, and reads each file back.
# Programs: bash, aws. Writes files in FOLDER only; run again, it replaces them.
#   STACKS      region=stack, separated by spaces
#   FOLDER      where to, relative to the working tree
set -euo pipefail
: "${STACKS:?}" "${FOLDER:?}"
mkdir -p -- "$FOLDER"
saved=0
for entry in $STACKS; do
  region=${entry%%=*} stack=${entry#*=}
  file="$FOLDER/$region-$stack"
  # A template that was given as JSON comes as JSON and one in YAML as a text: the file says which it is. Written beside
  # its place first, so that a call that fails leaves no half a backup behind.
  aws cloudformation get-template --region "$region" --stack-name "$stack" --template-stage Original \
    --query TemplateBody --output json >"$file.new"
  if grep -q '^{' "$file.new"; then
    mv -- "$file.new" "$file.template.json"
    template=$file.template.json
  else
    aws cloudformation get-template --region "$region" --stack-name "$stack" --template-stage Original \
      --query TemplateBody --output text >"$file.template.yaml"
    rm -- "$file.new"
    template=$file.template.yaml
  fi
  aws cloudformation describe-stacks --region "$region" --stack-name "$stack" \
    --query 'Stacks[0].{parameters: Parameters, capabilities: Capabilities, tags: Tags}' --output json >"$file.parameters.json"
  if ! grep -q Resources "$template"; then
    echo "$template is no template" >&2
    exit 1
  fi
  saved=$((saved + 1))
  echo "$region: $stack saved, $(wc -c <"$template") bytes"
done
echo "$saved stacks saved in $FOLDER"
