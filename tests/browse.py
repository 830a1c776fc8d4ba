"""Opens a page in Chromium (Qt WebEngine), in a process of its own.

    python -m tests.browse PAGE.html SHOT.png

It prints what it found as JSON: whether the page was loaded, what it asked for besides
itself, what it complained of, and the width of each image as the browser sees it.
"""

import json
import os
import sys
from pathlib import Path

os.environ["QT_QPA_PLATFORM"] = "offscreen"
# A container's root user has no sandbox, and no machine of ours a display.
os.environ["QTWEBENGINE_CHROMIUM_FLAGS"] = "--no-sandbox --disable-gpu"

from PySide6.QtCore import QTimer, QUrl
from PySide6.QtWebEngineCore import (
    QWebEnginePage,
    QWebEngineSettings,
    QWebEngineUrlRequestInfo,
    QWebEngineUrlRequestInterceptor,
)
from PySide6.QtWebEngineWidgets import QWebEngineView
from PySide6.QtWidgets import QApplication

WIDTH, HEIGHT = 1280, 3000
# Milliseconds for what is decoded after loading, and after which all is given up.
_SETTLE, _PATIENCE = 1000, 100_000
_QUESTION = """JSON.stringify({
    title: document.title,
    images: [...document.images].map(item => item.naturalWidth),
    headings: [...document.querySelectorAll('h2')].map(item => item.innerText),
    overflow: document.documentElement.scrollWidth - window.innerWidth,
    folded: [...document.querySelectorAll('details')].map(item => {
        const before = item.clientHeight;
        item.querySelector('summary').click();
        const after = item.clientHeight;
        item.querySelector('summary').click();
        return after - before;
    }),
})"""


class Requests(QWebEngineUrlRequestInterceptor):
    """Notes what a page asks for, and gives it nothing but files and what it holds."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def interceptRequest(self, info: QWebEngineUrlRequestInfo) -> None:  # noqa: N802
        """Note a request; what would leave the machine is refused."""
        url = info.requestUrl()
        if url.scheme() != "data":
            self.urls.append(url.toString())
        info.block(url.scheme() not in ("file", "data"))


class Page(QWebEnginePage):
    """A page whose complaints are kept."""

    def __init__(self, parent: QWebEngineView) -> None:
        super().__init__(parent)
        self.complaints: list[str] = []

    def javaScriptConsoleMessage(  # noqa: N802
        self, level, message, line, source
    ) -> None:
        """Keep what the page writes to the console."""
        self.complaints.append(f"{message} (line {line})")


def main() -> None:
    """Open the page, take the picture, print what was found."""
    path, shot = Path(sys.argv[1]).absolute(), sys.argv[2]
    app = QApplication(sys.argv[:1])
    view = QWebEngineView()
    page, requests = Page(view), Requests()
    page.setUrlRequestInterceptor(requests)
    # Else a file's requests to the net would end before they are seen.
    local = QWebEngineSettings.WebAttribute.LocalContentCanAccessRemoteUrls
    page.settings().setAttribute(local, True)
    view.setPage(page)
    view.resize(WIDTH, HEIGHT)

    def answer(found: str) -> None:
        view.grab().save(shot)
        seen = dict(json.loads(found), requests=requests.urls)
        print(json.dumps(dict(seen, complaints=page.complaints)))
        app.quit()

    def loaded(fine: bool) -> None:
        if not fine:
            app.exit(1)
        QTimer.singleShot(_SETTLE, lambda: page.runJavaScript(_QUESTION, 0, answer))

    page.loadFinished.connect(loaded)
    page.load(QUrl.fromLocalFile(str(path)))
    view.show()
    QTimer.singleShot(_PATIENCE, lambda: app.exit(2))
    raise SystemExit(app.exec())


if __name__ == "__main__":
    main()
