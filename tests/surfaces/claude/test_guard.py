"""Does the hook keep back what would act past Interlock or for a person, however it is written, and nothing else?"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.surfaces.cli.claude_files import guard
from interlock.surfaces.cli.parser import COMMANDS

SCRIPT = Path(guard.__file__)

KEPT_BACK = {
    "kubectl set image deployment/shop shop=shop:v2": "kubectl set",
    "kubectl -n prod rollout restart deploy/shop": "kubectl rollout restart",
    "kubectl rollout undo deploy/shop --to-revision=3": "kubectl rollout undo",
    "kubectl --context prod --namespace=shop apply -f k8s/": "kubectl apply",
    "kubectl apply -f - <<EOF\nkind: Service\nEOF": "kubectl apply",
    "kubectl apply --dry-run=none -f k8s/": "kubectl apply",
    "oc scale deploy/shop --replicas=0": "oc scale",
    "kubectl argo rollouts promote shop": "kubectl argo rollouts promote",
    "docker push registry.example.org/shop:v2": "docker push",
    "docker -H tcp://prod:2376 --debug push shop": "docker push",
    "docker image push shop:v2": "docker image push",
    "docker buildx build --platform linux/amd64 -t shop:v2 --push .": "docker buildx build",
    "docker buildx build -o type=registry .": "docker buildx build",
    "podman push shop:v2": "podman push",
    "buildah push shop docker://registry.example.org/shop": "buildah push",
    "skopeo copy containers-storage:shop docker://registry.example.org/shop": "skopeo copy",
    "docker compose up -d": "docker compose up",
    "docker compose -f compose.yaml --profile web up --build": "docker compose up",
    "docker-compose down": "docker-compose down",
    "docker stack deploy -c stack.yaml shop": "docker stack deploy",
    "helm upgrade --install shop ./chart -n prod": "helm upgrade",
    "helm -n prod rollback shop 3": "helm rollback",
    "kamal deploy --version v2": "kamal deploy",
    "kamal app boot": "kamal app boot",
    "argocd app sync shop": "argocd app sync",
    "terraform -chdir=infra apply -auto-approve": "terraform apply",
    "kumactl apply -f route.yaml": "kumactl apply",
    "deck gateway sync kong.yaml": "deck gateway sync",
    "interlock approve shop-7": "interlock approve",
    "interlock approve shop-7 --sign ~/.ssh/id_ed25519": "interlock approve",
    "interlock --state /var/lib/shop acknowledge --as anna": "interlock acknowledge",
    "interlock promote shop-7 -m 'looks good'": "interlock promote",
    "interlock deploy v2 --override window -m 'it is fine'": "interlock deploy",
    "interlock flag set new_feature -e production --percentage 100": "interlock flag set",
    "interlock quarantine release abc --reason 'it was noise'": "interlock quarantine release",
    "interlock down --force": "interlock down",
    "interlock serve --token": "interlock serve",
    "interlock setup ssh://prod": "interlock setup",
    "python3 -m interlock approve": "interlock approve",
    "uv run interlock approve": "interlock approve",
    "ssh-keygen -Y sign -f ~/.ssh/id_ed25519 -n interlock approval": "ssh-keygen",
    "curl -X PATCH http://kong:8001/upstreams/shop/targets/10.0.0.2:80 -d weight=53": "curl",
    "curl -X PUT http://127.0.0.1:5681/meshes/default/meshhttproutes/shop --json @route.json": "curl",
    "curl -XPOST https://unleash.example.org/api/admin/projects/default/features/f/environments/production/on": "curl",
    # behind something else
    "sudo docker push shop": "docker push",
    "sudo -u deploy -E docker push shop": "docker push",
    "DOCKER_HOST=tcp://prod:2376 docker push shop": "docker push",
    "env A=b C=d docker push shop": "docker push",
    "env -S 'docker push shop'": "docker push",
    "/usr/bin/docker push shop": "docker push",
    "nohup timeout 60 docker push shop &": "docker push",
    "time docker push shop": "docker push",
    "cd app && docker push shop": "docker push",
    "true; docker push shop": "docker push",
    "false || docker push shop": "docker push",
    "docker build . \\\n  && docker \\\n  push shop": "docker push",
    "docker build . & docker push shop": "docker push",
    "yes | docker push shop": "docker push",
    "make\ndocker push shop": "docker push",
    "if true; then docker push shop; fi": "docker push",
    "for tag in a b; do docker push shop:$tag; done": "docker push",
    "(docker push shop)": "docker push",
    "{ docker push shop; }": "docker push",
    "! docker push shop": "docker push",
    "docker push shop 2>&1 | tee log": "docker push",
    ">/dev/null 2>&1 docker push shop": "docker push",
    # within something else
    "bash -c 'docker push shop'": "docker push",
    'sh -lc "cd app; docker push shop"': "docker push",
    "bash -c \"bash -c 'docker push shop'\"": "docker push",
    "sudo bash -euxc 'docker push shop'": "docker push",
    "su deploy -c 'docker push shop'": "docker push",
    "ssh -p 22 prod docker compose up -d": "docker compose up",
    "ssh prod 'cd shop && docker compose up -d'": "docker compose up",
    "ssh prod <<'END'\ndocker compose up -d\nEND": "docker compose up",
    "echo $(docker push shop)": "docker push",
    'echo "$(docker push shop)"': "docker push",
    "echo `docker push shop`": "docker push",
    "diff <(docker push shop) x": "docker push",
    "eval 'docker push shop'": "docker push",
    "eval docker push shop": "docker push",
    "echo 'docker push shop' | bash": "docker push",
    "echo docker push shop | sudo sh": "docker push",
    "bash <<< 'docker push shop'": "docker push",
    "cat <<EOF | sh\ndocker push shop\nEOF": "docker push",
    "echo shop:v2 | xargs docker push": "docker push",
    "echo push shop:v2 | xargs docker": "docker push",
    "find . -name Dockerfile -exec docker push {} \\;": "docker push",
    "python3 -c \"import os; os.system('docker push shop')\"": "docker push",
    'node -e \'require("child_process").execSync("docker push shop")\'': "docker push",
    # in other letters
    "do''cker pu\"sh\" shop": "docker push",
    "\\docker push shop": "docker push",
    "$'\\x64ocker' push shop": "docker push",
    "$'\\144\\u006fcker' push $'it\\'s'": "docker push",
    "D=docker; $D push shop": "docker push",
    "D='docker push'; $D shop": "docker push",
    "${D:-docker} push shop && D=docker && ${D} push shop": "docker push",
    "$(echo docker) push shop": "docker push",
    "$(which docker) push shop": "docker push",
    "{docker,push,shop}": "docker push",
    "sudo {docker,push,shop}": "docker push",
    "bash -c '{docker,push,shop}'": "docker push",
    "docker push$NOTHING shop": "docker push",
    "$NOTHING docker push shop": "docker push",
    "${NOTHING:-docker} push shop": "docker push",
    "$KUBECTL set image deploy/shop shop=shop:v2": "kubectl set",
    "${DOCKER_CMD} push shop": "docker push",
}

LET_THROUGH = [
    "",
    "ls -la",
    "kubectl get pods -n apply",
    "kubectl rollout status deploy/shop",
    "kubectl rollout history deploy/shop",
    "kubectl logs deploy/shop | grep 'set image'",
    "kubectl apply --dry-run=server -f k8s/",
    "kubectl describe pod apply",
    "kubectl explain deployment.spec",
    "docker build -t shop .",
    "docker ps && docker logs shop",
    "docker compose ps",
    "docker compose -f up.yaml logs",
    "docker compose config",
    "docker push --help",
    "docker pull shop",
    "helm template ./chart",
    "helm upgrade --dry-run shop ./chart",
    "helm list -A",
    "kamal details",
    "terraform plan",
    "deck gateway diff kong.yaml",
    "kumactl get meshhttproutes",
    "curl http://kong:8001/upstreams/shop/health",
    "curl -s -G -d size=100 http://kong:8001/upstreams/shop/targets",
    "curl http://127.0.0.1:5681/meshes/default/meshhttproutes/shop",
    "curl -X POST http://127.0.0.1:8001/login -d name=me",
    "curl -X POST http://localhost:8000/api/orders -d '{\"id\": 1}'",
    "interlock get",
    "interlock status shop-7",
    "interlock plan v2",
    "interlock check",
    "interlock abort shop-7 -m 'users are harmed'",
    "interlock rollback",
    "interlock pause",
    "interlock flag set new_feature -e production --off",
    "interlock flag get approve",
    "interlock build v2 --no-push",
    "interlock setup --check",
    "interlock quarantine list",
    "interlock incident list --open",
    "interlock approve --help",
    "echo 'docker push shop'",
    "echo docker push shop",
    "grep -rn 'kubectl set image' docs/",
    "grep -rn docker push",
    "git commit -m 'Say why docker push is kept back'",
    "git commit -m \"$(cat <<'EOF'\nSay why `docker push` is kept back\n\nkubectl apply\nEOF\n)\"",
    "git push origin main",
    "cat > notes.md <<EOF\ndocker push shop\nEOF",
    "cat <<EOF > notes.md\nkubectl apply -f x\nEOF\nls",
    "ls # docker push shop",
    "echo a#docker push",
    "man bash; echo docker push shop",
    "find . -name docker",
    "sudo apt-get install docker",
    "which docker && docker version",
    "python3 manage.py push",
    "python3 -c 'print(1)'",
    "ssh prod uptime",
    "ssh-keygen -t ed25519 -f key",
    'eval "$(ssh-agent)"',
    "make test",
    "npm run deploy:docs",
    "echo $((1 + 2))",
    "echo $HOME ${PATH:-/bin} $? $1",
    "cp {a,b}/x '{docker,push}' .",
    "mkdir -p src/{docker,push,kubectl}",
    "x=$(( 3 > 2 )); echo $x",
    "[[ -f a && $b == 'docker push' ]]",
    "unclosed 'quote",
]


# What an agent may type as it is; the rest is refused. A new command has to be put on one side or the other.
FREE = (
    "init demo explain schema claude agents check plan simulate rollback flag get status history report incident logs "
    "backtest pause abort quarantine lock audit mcp completion doctor"
).split()


def verdict(command: str) -> str:
    """Return why a command is refused, "" when it is not."""
    return "".join(guard.answer({"tool_name": "Bash", "tool_input": {"command": command}}))


@pytest.mark.parametrize("command", KEPT_BACK)
def test_what_acts_past_interlock_or_for_a_person_is_kept_back_however_it_is_written(command: str) -> None:
    said = verdict(command)
    assert said.startswith(f"`{KEPT_BACK[command]}` would"), said
    assert "Instead: " in said


@pytest.mark.parametrize("command", LET_THROUGH)
def test_what_looks_builds_goes_back_or_only_speaks_of_it_is_let_through(command: str) -> None:
    assert verdict(command) == ""


def test_of_every_command_of_interlock_it_is_decided_whether_an_agent_may_type_it() -> None:
    every = [name for group in COMMANDS.values() for name in group]
    assert [name for name in every if not verdict(f"interlock {name}")] == [name for name in every if name in FREE]


def test_what_is_said_instead_is_what_does_the_same() -> None:
    assert "the tool docker_build_push" in verdict("docker push x")
    assert "plan_deployment and start_deployment" in verdict("helm upgrade x y")
    assert "toggle_feature_flag" in verdict("interlock flag set f -e production --on")
    assert "a person types this" in verdict("interlock approve")
    assert "let a person run it" in verdict("deck sync")


def hooked(call: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the script as Claude Code does: one call on standard input."""
    return subprocess.run(
        [sys.executable, "-I", str(SCRIPT)], input=call, capture_output=True, text=True, timeout=30, env=environment
    )


def bash(command: str) -> str:
    """Return a call of the tool Bash as Claude Code hands it to a hook."""
    call: dict[str, Any] = {
        "session_id": "abc",
        "transcript_path": "/tmp/abc.jsonl",
        "cwd": "/srv/shop",
        "permission_mode": "acceptEdits",
        "hook_event_name": "PreToolUse",
        "tool_name": "Bash",
        "tool_input": {"command": command, "description": "release it", "timeout": 120000},
        "tool_use_id": "toolu_01",
    }
    return json.dumps(call)


def test_the_script_answers_a_real_call_with_a_refusal_that_claude_code_reads() -> None:
    done = hooked(bash("cd app && docker push shop"))
    decision = json.loads(done.stdout)["hookSpecificOutput"]
    assert (done.returncode, done.stderr) == (0, "")
    assert decision["hookEventName"] == "PreToolUse" and decision["permissionDecision"] == "deny"
    assert "docker_build_push" in decision["permissionDecisionReason"]


def test_the_script_says_nothing_of_what_it_lets_through() -> None:
    done = hooked(bash("kubectl get pods"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("call", ["", "no JSON", '{"tool_input": {"command": "ls"}'])
def test_what_the_script_cannot_read_it_does_not_let_through(call: str) -> None:
    assert '"deny"' in hooked(call).stdout


def test_a_person_turns_it_off_or_lets_some_of_it_through_before_claude_code_starts() -> None:
    assert hooked(bash("docker push shop"), INTERLOCK_GUARD="off").stdout == ""
    some = {"INTERLOCK_GUARD_ALLOW": "docker compose up, terraform apply"}
    assert hooked(bash("docker compose up -d"), **some).stdout == ""
    assert '"deny"' in hooked(bash("docker compose up -d && docker push shop"), **some).stdout


def test_an_agent_cannot_turn_it_off_within_its_command() -> None:
    assert '"deny"' in hooked(bash("INTERLOCK_GUARD=off docker push shop")).stdout
    assert '"deny"' in hooked(bash("export INTERLOCK_GUARD=off; docker push shop")).stdout


def test_a_command_made_to_take_for_ever_is_refused_in_time() -> None:
    for command in ("sudo " * 2000 + "ls", "eval " * 200 + "ls", "$(" * 3000, "ssh a " * 300, "a" * 300_000):
        began = time.monotonic()
        verdict_of = hooked(bash(command))
        assert verdict_of.returncode == 0, command[:20]
        assert time.monotonic() - began < 15, command[:20]


def test_calls_of_other_tools_are_none_of_its_business() -> None:
    assert list(guard.answer({"tool_name": "Read", "tool_input": {"file_path": "docker push"}})) == []
    assert list(guard.answer([])) == []


@settings(max_examples=400, deadline=None)
@given(st.text(alphabet="docker push'\"`$(){}<>|&;\\\n #=ab-", max_size=60))
def test_whatever_the_text_it_ends_and_a_plain_push_behind_it_on_a_line_of_its_own_is_judged(text: str) -> None:
    verdict(text)  # never an exception
    assert verdict(f"docker push shop\n{text}")
