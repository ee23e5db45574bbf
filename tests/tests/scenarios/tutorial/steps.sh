# The steps of "Register a Remote Agent", as its readers type them. Which: create, register, secrets,
# heartbeat, message. Variables: PLATFORM_URL, ADMIN_TOKEN, and what the steps before answered.
set -euo pipefail

case "$1" in
create)
    curl -s -X POST "${PLATFORM_URL}/workspaces" \
        -H "Authorization: Bearer ${ADMIN_TOKEN}" \
        -H "Content-Type: application/json" \
        -d '{
          "name": "CI Agent",
          "runtime": "external",
          "external": true,
          "url": "https://your-agent.example.com"
        }'
    ;;
register)
    curl -s -X POST "${PLATFORM_URL}/registry/register" \
        -H "Authorization: Bearer ${ADMIN_TOKEN}" \
        -H "Content-Type: application/json" \
        -d "{
          \"id\": \"${WORKSPACE_ID}\",
          \"url\": \"https://your-agent.example.com\",
          \"agent_card\": {
            \"name\": \"CI Agent\",
            \"runtime\": \"external\",
            \"version\": \"1.0\"
          }
        }"
    ;;
secrets)
    curl -s "${PLATFORM_URL}/workspaces/${WORKSPACE_ID}/secrets" \
        -H "Authorization: Bearer ${AUTH_TOKEN}"
    ;;
heartbeat)
    curl -s -X POST "${PLATFORM_URL}/registry/heartbeat" \
        -H "Authorization: Bearer ${AUTH_TOKEN}" \
        -H "Content-Type: application/json" \
        -d "{\"workspace_id\": \"${WORKSPACE_ID}\"}"
    ;;
message)
    curl -s -X POST "${PLATFORM_URL}/a2a" \
        -H "Authorization: Bearer ${AUTH_TOKEN}" \
        -H "Content-Type: application/json" \
        -H "X-Workspace-ID: ${WORKSPACE_ID}" \
        -d '{
          "jsonrpc": "2.0",
          "id": 1,
          "method": "message/send",
          "params": {
            "message": {
              "role": "user",
              "parts": [{"kind": "text", "text": "Hello from a remote agent"}]
            }
          }
        }'
    ;;
revoke)
    curl -s -X DELETE "${PLATFORM_URL}/workspaces/${WORKSPACE_ID}/tokens" \
        -H "Authorization: Bearer ${ADMIN_TOKEN}"
    ;;
remove)
    curl -s -X DELETE "${PLATFORM_URL}/workspaces/${WORKSPACE_ID}" \
        -H "Authorization: Bearer ${ADMIN_TOKEN}"
    ;;
esac
