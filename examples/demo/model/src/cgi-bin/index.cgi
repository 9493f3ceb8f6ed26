#!/bin/sh
# Who the model is, and what the api answers it.
printf 'Content-Type: text/plain\n\n'
printf 'model %s > ' "$(cat /app/version)"
timeout 5 wget -q -O - "$API_URL" || echo "no answer from the api at '$API_URL'"
