#!/bin/bash
set -e

STACK_NAME="medzen-bedrock-ai"

aws cloudformation deploy \
  --template-file cloudformation/bedrock-ai-multi-region.yaml \
  --stack-name "$STACK_NAME" \
  --region eu-west-1 \
  --capabilities CAPABILITY_IAM
