#!/bin/sh
# Answers with the name of the program that it stands for, and with what lies in its data folder.
# ?schema=N stores a schema, ?insert=TEXT adds a row.
printf 'Content-Type: text/plain\n\n'
printf '%s %s' "$NAME" "$(cat /app/version)"
if [ -n "$DATA" ]; then
    case $QUERY_STRING in
        schema=*) echo "${QUERY_STRING#schema=}" > "$DATA/schema" ;;
        insert=*) echo "${QUERY_STRING#insert=}" >> "$DATA/rows" ;;
    esac
    [ -e "$DATA/rows" ] || : > "$DATA/rows"
    printf ', schema %s, rows %s' "$(cat "$DATA/schema" 2> /dev/null || echo none)" "$(wc -l < "$DATA/rows")"
fi
echo
