"""Write the PDF files of the demo, one page each."""

from collections.abc import Sequence


def build_title_page(title: str) -> bytes:
    """Build one page that shows its title, with the table of offsets that a reader needs."""
    drawing = f"BT /F1 18 Tf 72 720 Td ({title}) Tj ET"
    objects = (
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
        "/Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
        f"<< /Length {len(drawing)} >>\nstream\n{drawing}\nendstream",
    )
    text, offsets = "%PDF-1.4\n", []
    for number, value in enumerate(objects, start=1):
        offsets.append(len(text))
        text += f"{number} 0 obj\n{value}\nendobj\n"
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    end = f"xref\n0 5\n0000000000 65535 f \n{table}trailer\n<< /Size 5 /Root 1 0 R >>\nstartxref\n{len(text)}\n%%EOF\n"
    return (text + end).encode("ascii")


def build_text_page(lines: Sequence[str]) -> bytes:
    """Build one page with these lines of text, as a scanner recognises them."""
    shown = "".join(f"({escape_pdf_text(line)}) Tj T* " for line in lines).encode("latin-1", "replace")
    content = b"BT /F1 12 Tf 14 TL 72 770 Td " + shown + b"ET"
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%b\nendstream" % (len(content), content),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
    ]
    return assemble_pdf(objects)


def escape_pdf_text(text: str) -> str:
    return text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")


def assemble_pdf(objects: Sequence[bytes]) -> bytes:
    """Join the objects with the table of where each begins."""
    body, places = b"%PDF-1.4\n", []
    for number, value in enumerate(objects, start=1):
        places.append(b"%010d 00000 n \n" % len(body))
        body += b"%d 0 obj%b endobj\n" % (number, value)
    size = len(objects) + 1
    places.insert(0, b"0000000000 65535 f \n")
    return body + b"xref\n0 %d\n%btrailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (
        size, b"".join(places), size, len(body),
    )  # fmt: skip
