# Writes the environment file of the deployment scripts, readable by its owner only, with new passwords.
# Programs: bash, aws, openssl. A file that exists is left as it is, because its passwords may be in use.
#   FILE                                    where to, relative to the working tree
#   PROJECT, ENVIRONMENT, DOMAIN, SUPABASE_URL
#   PRIMARY_REGION, SECONDARY_REGION, DR_REGION, EHRBASE_REGION
#   SUPABASE_SERVICE_KEY, SUPABASE_ANON_KEY (secrets)
set -euo pipefail
: "${FILE:?}" "${PROJECT:?}" "${ENVIRONMENT:?}" "${DOMAIN:?}" "${SUPABASE_URL:?}"
: "${PRIMARY_REGION:?}" "${SECONDARY_REGION:?}" "${DR_REGION:?}" "${EHRBASE_REGION:?}"
: "${SUPABASE_SERVICE_KEY:?}" "${SUPABASE_ANON_KEY:?}"
if [ -e "$FILE" ]; then
  chmod 600 -- "$FILE"
  echo "$FILE exists and stays as it is"
  exit 0
fi

# RDS refuses / @ " and blanks in a password, and base64 produces the first of them. Hex has none; 48 digits are 192 bits.
password() { openssl rand -hex 24; }

account=$(aws sts get-caller-identity --region "$PRIMARY_REGION" --query Account --output text)
umask 077
mkdir -p -- "$(dirname -- "$FILE")"
# Written beside its place and moved there, so that no half a file is ever taken for a whole one.
cat >"$FILE.new" <<END
AWS_REGION=$PRIMARY_REGION
AWS_ACCOUNT_ID=$account
PROJECT_NAME=$PROJECT
ENVIRONMENT=$ENVIRONMENT
SUPABASE_URL=$SUPABASE_URL
SUPABASE_SERVICE_KEY=$SUPABASE_SERVICE_KEY
SUPABASE_ANON_KEY=$SUPABASE_ANON_KEY
DOMAIN_NAME=$DOMAIN
DB_ADMIN_USER=ehrbase_admin
DB_ADMIN_PASS=$(password)
EHRBASE_USER=ehrbase_user
EHRBASE_PASS=$(password)
ENABLE_MULTI_AZ=true
PRIMARY_REGION=$PRIMARY_REGION
SECONDARY_REGION=$SECONDARY_REGION
DR_REGION=$DR_REGION
EHRBASE_REGION=$EHRBASE_REGION
END
mv -- "$FILE.new" "$FILE"
echo "$FILE written, $(wc -l <"$FILE") settings, mode 600; keep it out of version control"
