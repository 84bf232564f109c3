aws kms create-key
