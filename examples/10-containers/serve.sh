# Alone in its container, a program is deaf to SIGTERM unless it says what to do about it.
trap 'kill $!; exit 0' TERM
echo "version $INTERLOCK_VERSION listens on port $PORT"
/bin/busybox httpd -f -p "$PORT" -h /www &
wait $!
