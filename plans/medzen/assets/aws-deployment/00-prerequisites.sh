#!/bin/bash
set -e

# Writes a first environment file, to be filled in by hand.
cat >.env <<EOF
AWS_REGION=af-south-1
PROJECT_NAME=medzen-ehrbase
ENVIRONMENT=production
EOF
