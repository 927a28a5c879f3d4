"""The pages in a real browser, with its own view of cookies, origins and content policy."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from holdpoint.model.hold import Answer, HoldState
from support.browser import ARGUMENTS
from support.web import PASSWORD, Review

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def browser(chromium: Path, anyio_backend: str) -> AsyncIterator[Browser]:
    """Debian's Chromium; none is downloaded."""
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(
            executable_path=str(chromium), args=list(ARGUMENTS)
        )
        yield running
        await running.close()


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    """An empty page; the test fails on what the content policy stops and on script errors."""
    context = await browser.new_context()
    opened = await context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    yield opened
    await context.close()
    # A page that is left cuts its own requests off; that is no complaint.
    usual = ("Failed to load resource", "htmx:afterRequest", "htmx:sendAbort", "htmx:sendError")
    assert [words for words in complaints if not words.startswith(usual)] == []


async def sign_in(page: Page, door: Review) -> None:
    await page.goto(door.url)
    await page.get_by_label("Name").fill("anna")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()


async def test_a_person_signs_in_sees_a_hold_appear_and_approves_it(page: Page, door: Review):
    await sign_in(page, door)
    await expect(page.get_by_role("heading", name="Nothing waits")).to_be_visible()
    await expect(page.locator("#link-state")).to_have_text("live")
    hold = await door.hold("DELETE FROM orders -- <script>document.title = 'mine'</script>")
    await expect(page.get_by_role("heading", name="One statement waits")).to_be_visible()
    await expect(page).to_have_title("(1) Holds · Holdpoint")
    await page.get_by_role("link", name="DELETE on orders affects 48,211 rows").click()
    await expect(page.locator("pre.sql")).to_contain_text("DELETE FROM orders")
    await expect(page.locator(".left")).to_contain_text("min left")
    await page.get_by_label("Note").fill("backup checked")
    await page.get_by_role("button", name="Approve").click()
    await expect(page.locator("#standing")).to_contain_text("it may run once")
    await expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    now = await door.book.get(hold.id)
    assert now is not None
    assert (now.state, now.approvals[0].note) == (HoldState.APPROVED, "backup checked")
    assert await door.book.claim(hold.id)
    await expect(page.locator("#standing")).to_contain_text("approved and used")


async def test_an_answer_of_somebody_else_takes_the_form_away(page: Page, door: Review):
    hold = await door.hold()
    await sign_in(page, door)
    await page.goto(f"{door.url}/h/{hold.id}")
    await expect(page.locator("#link-state")).to_have_text("live")
    await page.get_by_label("Note").fill("typing")
    await door.book.answer(hold.id, "bo", Answer.REJECT, "no", approver_groups=frozenset())
    await expect(page.locator("#standing")).to_contain_text("rejected")
    await expect(page.get_by_role("button", name="Approve")).to_have_count(0)


async def test_a_link_from_another_site_leads_to_the_case(page: Page, door: Review):
    """The cookie is not sent on the way from a chat, and still nobody has to sign in again."""
    hold = await door.hold()
    await sign_in(page, door)
    await expect(page.get_by_role("heading", name="One statement waits")).to_be_visible()
    await page.goto(f"data:text/html,<a href='{door.url}/h/{hold.id}'>look</a>")
    await page.get_by_role("link", name="look").click()
    await expect(page.locator("pre.sql")).to_contain_text("DELETE FROM orders")


async def test_everything_works_without_scripts(browser: Browser, door: Review):
    hold = await door.hold()
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(f"{door.url}/h/{hold.id}")
    await page.get_by_label("Name").fill("anna")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.locator("#standing time").first).to_have_text(
        hold.expires_at.strftime("%H:%M UTC")
    )
    await page.get_by_role("button", name="Reject").click()
    await expect(page.locator("#standing")).to_contain_text("rejected")
    await context.close()


async def test_a_sign_in_link_works_in_a_browser(page: Page, door: Review):
    await page.goto(door.url + door.link("anna"))
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", name="Nothing waits")).to_be_visible()


async def test_no_page_is_wider_than_the_screen(page: Page, door: Review):
    rows = {"value": 12_345_678, "basis": "estimate", "why": ""}
    named = [{"name": "n" * 63 + "." + "m" * 63, "rows": rows, "table_rows": rows, "lock": "SHARE"}]
    cascades = [{"level": 9, "table": "c" * 126, "action": "set default", "rows": rows}]
    impact = {"rows": rows, "words": ["w" * 200] * 3, "tables": named, "cascades": cascades}
    impact["read"] = {"plan": ["p" * 300]}
    hold = await door.hold("SELECT '" + "x" * 3000 + "'", task="y" * 300, impact=impact)
    await sign_in(page, door)
    await expect(page.get_by_role("heading", name="One statement waits")).to_be_visible()
    for width in (320, 390, 1280):
        await page.set_viewport_size({"width": width, "height": 800})
        for path in ("/", f"/h/{hold.id}", "/trail"):
            await page.goto(door.url + path)
            await page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
            spare = await page.evaluate("innerWidth - document.documentElement.scrollWidth")
            assert spare >= 0, (path, width)
