#!/bin/sh
# Who the api is, and who its database says that it is.
greeting="hello"

server=${DATABASE_URL#*://}
server=${server%%/*}
printf 'Content-Type: text/plain\n\n'
printf 'api %s: %s > ' "$(cat /app/version)" "$greeting"
timeout 3 wget -q -O - "http://$server/" || echo "no answer from the database at '$server'"
