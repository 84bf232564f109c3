#!/bin/bash
set -e

PRIMARY_REGION="af-south-1"
SECONDARY_REGION="eu-west-1"
DR_REGION="us-east-1"

for region in "$PRIMARY_REGION" "$SECONDARY_REGION" "$DR_REGION"; do
  aws cloudformation deploy --region "$region" --stack-name "medzen-global-infrastructure-$region" \
    --template-file cloudformation/global-infrastructure.yaml
done
