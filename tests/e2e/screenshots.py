"""Pictures of every page at three widths and in two themes, to be looked at.

python -m tests.e2e.screenshots --url http://127.0.0.1:8000 --out DIR [--only leaderboard]
"""

import argparse
import re
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
WIDTHS = {"wide": (1440, 900), "narrow": (390, 844), "huge": (2560, 1440)}
THEMES = ("light", "dark")
PAGES = {
    "home": "/",
    "leaderboard": "/leaderboard",
    "experiments": "/experiments",
    "experiments-empty": "/experiments?state=cancelled&attack=no_perturbation&profile=paper",
    "launch": "/experiments/new",
    "launch-preset": "/experiments/new?do=estimate",
    "sweeps": "/sweeps",
    "launch-sweep": "/experiments/new?sweep.field=data.poisons&sweep.values=1,5,20",
    "studies": "/studies",
    "attacks": "/attacks",
    "attack": "/attacks/bullseye_polytope",
    "checkpoints": "/checkpoints",
    "workers": "/workers",
    "launch-backdoor": "/experiments/new?attack.name=hidden_trigger_backdoor&do=estimate",
    "compare": "/compare?ids=1,2",
    "dataset": "/datasets/cifar10",
    "queue": "/queue",
    "tokens": "/tokens",
    "datasets": "/datasets",
    "about": "/about",
    "not-found": "/experiments/999999",
}
# every picture decoded and every font there, also below the fold
SETTLE = """async () => {
  for (const image of document.images) image.loading = "eager";
  await Promise.all([...document.images].map(image => image.decode()));
  await document.fonts.ready;
}"""
# name -> (the list it is found on, the pattern of its links)
FOUND = {
    "experiment": ("/experiments?state=done&group=no", r"^/experiments/\d+$"),
    "experiment-open": ("/experiments?state=running&group=no", r"^/experiments/\d+$"),
    "sweep": ("/sweeps", r"^/sweeps/\d+$"),
    "study": ("/studies", r"^/studies/\d+$"),
    "checkpoint": ("/checkpoints", r"^/checkpoints/[a-z0-9]"),
}


def first_link(page: Page, pattern: str) -> str | None:
    """The first address on the page that matches."""
    links: list[str] = page.eval_on_selector_all("a", "all => all.map(a => a.pathname)")
    return next((link for link in links if re.search(pattern, link)), None)


def discover(page: Page, url: str) -> dict[str, str]:
    """Every page worth a picture, by name; those that need an id are found by following links."""
    pages = dict(PAGES)
    for name, (where, pattern) in FOUND.items():
        page.goto(url + where)
        link = first_link(page, pattern)
        if link:
            pages[name] = link
    if "experiment" in pages:
        page.goto(url + pages["experiment"])
        link = first_link(page, r"/trials/\d+$")
        if link:
            pages["trial"] = link
            page.goto(url + link)
            same = page.locator("a[href^='/setups?']").first
            if same.count():
                pages["setup"] = same.get_attribute("href") or ""
    return pages


def overflow(page: Page) -> int:
    """By how many pixels the page is wider than its window."""
    wide: int = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    return wide


def shoot(browser: Browser, url: str, out: Path, only: str | None) -> list[str]:
    """Write the pictures; returns what is wrong with the pages as one line each."""
    complaints: list[str] = []
    with browser.new_context() as context:
        pages = discover(context.new_page(), url)
    for width, (w, h) in WIDTHS.items():
        for theme in THEMES:
            context = browser.new_context(
                viewport={"width": w, "height": h}, color_scheme=theme, reduced_motion="reduce"
            )
            page = context.new_page()
            page.on("pageerror", lambda error: complaints.append(f"script: {error}"))
            page.on(
                "console",
                lambda line: (
                    complaints.append(line.text)
                    if line.type == "error" and "404" not in line.text
                    else None
                ),
            )
            for name, path in pages.items():
                if only and not name.startswith(only):
                    continue
                page.goto(url + path)
                page.wait_for_load_state("load")
                page.evaluate(SETTLE)
                page.screenshot(path=out / f"{name}-{width}-{theme}.png", full_page=True)
                if overflow(page) > 0:
                    complaints.append(f"{name} at {w} px is {overflow(page)} px too wide")
            context.close()
    return complaints


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--only", help="only pages whose name starts so")
    wanted = parser.parse_args()
    wanted.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        complaints = shoot(browser, wanted.url.rstrip("/"), wanted.out, wanted.only)
        browser.close()
    for line in sorted(set(complaints)):
        print(line)
    raise SystemExit(bool(complaints))


if __name__ == "__main__":
    main()
