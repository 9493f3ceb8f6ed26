#!/bin/sh
# Who the web server is, and what the api answers it.
printf 'Content-Type: text/plain\n\n'
printf 'web %s > ' "$(cat /app/version)"
timeout 5 wget -q -O - "$API_URL" || echo "no answer from the api at '$API_URL'"
