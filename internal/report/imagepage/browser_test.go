package imagepage

import (
	"bytes"
	"fmt"
	"html"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// look is run by the browser in the finished page. Its findings become the title.
const look = `<script>
const faults = [], rectangles = document.querySelectorAll("svg rect");
if (document.documentElement.scrollWidth > innerWidth) faults.push("the page is wider than its window");
for (const e of document.querySelectorAll("svg rect, svg text")) {
	const b = e.getBoundingClientRect(), s = e.ownerSVGElement.getBoundingClientRect();
	if (e.tagName === "rect" && !(b.width > 0 && b.height > 0)) faults.push("a rectangle of no size");
	if (b.left < s.left - 1 || b.right > s.right + 1 || b.top < s.top - 1 || b.bottom > s.bottom + 1)
		faults.push("outside its drawing: " + e.tagName + " " + e.textContent);
}
document.title = rectangles.length + " rectangles" + faults.map(f => "; " + f).join("");
</script>`

// rendered is what a browser finds in a page, in a window of this width.
func rendered(t *testing.T, browser string, page []byte, width int) string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "page.html")
	if err := os.WriteFile(file, bytes.Replace(page, []byte("</body>"), []byte(look+"</body>"), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--user-data-dir="+dir+"/profile",
		fmt.Sprintf("--window-size=%d,900", width), "--dump-dom", "file://"+file)
	cmd.Env = append(os.Environ(), "HOME="+dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	title := regexp.MustCompile(`<title>([^<]*)</title>`).FindSubmatch(out)
	if err != nil || title == nil {
		t.Fatalf("%v, %d bytes of a document, %s", err, len(out), &stderr)
	}
	return html.UnescapeString(string(title[1]))
}

// A real browser shows all of the page, in a wide window and in a narrow one (500 is the narrowest that Chromium has).
func TestBrowser(t *testing.T) {
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium on this machine")
	}
	i := image()
	i.BzImage.SHA256 = strings.Repeat("0123456789abcdef", 4)
	i.Kernel.SHA256, i.Program.SHA256, i.Source = i.BzImage.SHA256, i.BzImage.SHA256, i.BzImage.SHA256
	i.Config[0].Line += "CONFIG_WITH_A_RATHER_LONG_NAME_OF_AN_OPTION=y"
	page, err := i.HTML()
	if err != nil {
		t.Fatal(err)
	}
	for _, width := range []int{500, 1280} {
		if got := rendered(t, browser, page, width); !regexp.MustCompile(`^[1-9][0-9]* rectangles$`).MatchString(got) {
			t.Errorf("%d pixels wide: %s", width, got)
		}
	}
	broken := bytes.Replace(page, []byte("<h1>"),
		[]byte(`<p style="width: 2000px">x</p><svg style="width: 9px; height: 9px"><rect x="50" width="5" height="5"/><rect/></svg><h1>`), 1)
	got := rendered(t, browser, broken, 1280)
	for _, want := range []string{"wider than its window", "outside its drawing: rect", "a rectangle of no size"} {
		if !strings.Contains(got, want) {
			t.Errorf("a broken page: %q lacks %q", got, want)
		}
	}
}
