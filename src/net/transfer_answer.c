/*
 * transfer_answer.c
 *	  What comes back, within its bounds.
 *
 * Sizes are counted as bytes arrive, after decompression: a Content-Length
 * may lie and a small gzip stream may unfold without end.
 */
#include "net/transfer_internal.h"

#define FIRST_CAPACITY		1024

/* As much as an answer announces is reserved at once, but not any lie. */
#define MAX_RESERVED		(256 * 1024)

static void
free_buffer(TransferBuffer *buffer)
{
	if (buffer->data != NULL)
		explicit_bzero(buffer->data, buffer->length);
	free(buffer->data);
	memset(buffer, 0, sizeof(*buffer));
}

/* Makes room, and for a NUL besides.  Not realloc, which would leave a copy behind unwiped. */
static bool
reserve(TransferBuffer *buffer, size_t capacity)
{
	TransferBuffer grown = {malloc(capacity + 1), buffer->length, capacity};

	if (grown.data == NULL)
		return false;
	if (buffer->length > 0)
		memcpy(grown.data, buffer->data, buffer->length);
	free_buffer(buffer);
	*buffer = grown;
	return true;
}

static bool
append(TransferBuffer *buffer, const char *bytes, size_t length)
{
	size_t		capacity = Max(buffer->capacity, FIRST_CAPACITY);

	while (length > capacity - buffer->length)
	{
		if (capacity > SIZE_MAX / 4)
			return false;
		capacity *= 2;
	}
	if ((capacity > buffer->capacity || buffer->data == NULL) && !reserve(buffer, capacity))
		return false;
	memcpy(buffer->data + buffer->length, bytes, length);
	buffer->length += length;
	return true;
}

static bool
give_up(SaasTransfer *transfer, TransferFault fault)
{
	transfer->fault = fault;
	return false;
}

/* A line of the header block, without its end. */
static bool
take_header_line(SaasTransfer *transfer, const char *line, size_t length)
{
	TransferBuffer *headers = &transfer->headers;

	if (line[0] == ' ' || line[0] == '\t')
	{
		/* A folded value goes on (RFC 9112, section 5.2). */
		if (headers->length == 0)
			return true;
		headers->data[headers->length - 1] = ' ';
	}
	else if (++transfer->header_count > SAAS_TRANSFER_MAX_HEADERS)
		return give_up(transfer, TRANSFER_FAULT_HEADERS);

	if (!append(headers, line, length) || !append(headers, "\n", 1))
		return give_up(transfer, TRANSFER_FAULT_MEMORY);
	return true;
}

static size_t
receive_header(char *line, size_t size, size_t count, void *data)
{
	SaasTransfer *transfer = data;
	size_t		given = size * count;
	size_t		length = given;

	transfer->header_bytes += given;
	if (transfer->header_bytes > SAAS_TRANSFER_MAX_HEADER_BYTES)
	{
		give_up(transfer, TRANSFER_FAULT_HEADERS);
		return 0;
	}
	while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r'))
		length--;

	if (length >= 5 && memcmp(line, "HTTP/", 5) == 0 &&
		(transfer->answering_at == 0 || (transfer->interim && transfer->headers_done)))
	{
		const char *status = memchr(line, ' ', length);

		free_buffer(&transfer->headers);
		transfer->header_count = 0;
		if (transfer->answering_at == 0)
			transfer->answering_at = SaasTransferNow();
		transfer->headers_done = false;
		transfer->interim = status != NULL && status + 1 < line + length && status[1] == '1';
	}
	else if (length == 0)
		transfer->headers_done = true;
	else if (!transfer->headers_done && !take_header_line(transfer, line, length))
		return 0;

	/* What follows the headers of a final answer is a trailer: not wanted. */
	return given;
}

/* Without this a long body would be copied each time that it has doubled. */
static void
expect_body(SaasTransfer *transfer)
{
	curl_off_t	announced = -1;

	(void) curl_easy_getinfo(transfer->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &announced);
	if (announced > 0)
		(void) reserve(&transfer->body, (size_t) Min(announced, Min(transfer->max_body, MAX_RESERVED)));
}

static size_t
receive_body(char *bytes, size_t size, size_t count, void *data)
{
	SaasTransfer *transfer = data;
	size_t		length = size * count;

	if (length > transfer->max_body - transfer->body.length)
	{
		give_up(transfer, TRANSFER_FAULT_BODY);
		return 0;
	}
	if (transfer->body.data == NULL)
		expect_body(transfer);
	if (!append(&transfer->body, bytes, length))
	{
		give_up(transfer, TRANSFER_FAULT_MEMORY);
		return 0;
	}
	return length;
}

bool
SaasTransferAnswerAttach(SaasTransfer *transfer)
{
	CURL	   *easy = transfer->easy;
	size_t		cap = transfer->loop->options.max_response;

	if (transfer->request->max_response > 0)
		cap = Min(cap, transfer->request->max_response);
	transfer->max_body = cap;

	return curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, receive_header) == CURLE_OK &&
		curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer) == CURLE_OK &&
		curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, receive_body) == CURLE_OK &&
		curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer) == CURLE_OK;
}

/* The header that a line holds, in the arena; NULL when it holds none or memory is out. */
static SaasHeader *
read_header(SaasTransfer *transfer, const char *line, size_t length)
{
	const char *colon = memchr(line, ':', length);
	const char *value;
	SaasHeader *header;
	char	   *name;
	char	   *text;

	if (colon == NULL || colon == line)
		return NULL;
	value = colon + 1;
	length -= (size_t) (value - line);
	while (length > 0 && (*value == ' ' || *value == '\t'))
	{
		value++;
		length--;
	}
	while (length > 0 && (value[length - 1] == ' ' || value[length - 1] == '\t'))
		length--;

	header = SaasArenaAlloc(transfer->arena, sizeof(SaasHeader));
	name = SaasArenaStrndup(transfer->arena, line, (size_t) (colon - line));
	text = SaasArenaStrndup(transfer->arena, value, length);
	if (header == NULL || name == NULL || text == NULL)
	{
		give_up(transfer, TRANSFER_FAULT_MEMORY);
		return NULL;
	}
	for (char *p = name; *p != '\0'; p++)
		*p = pg_ascii_tolower((unsigned char) *p);
	SaasCleanText(name);
	SaasCleanText(text);
	header->name = name;
	header->value = text;
	return header;
}

static bool
read_headers(SaasTransfer *transfer)
{
	SaasHeader **last = &transfer->result.response.headers;
	const char *line = transfer->headers.data;
	const char *end = line + transfer->headers.length;

	*last = NULL;
	while (line < end)
	{
		const char *next = memchr(line, '\n', (size_t) (end - line));

		*last = read_header(transfer, line, (size_t) (next - line));
		if (*last != NULL)
			last = &(*last)->next;
		line = next + 1;
	}
	return transfer->fault == TRANSFER_FAULT_NONE;
}

bool
SaasTransferAnswerFinish(SaasTransfer *transfer)
{
	SaasResponse *response = &transfer->result.response;
	TransferBuffer *body = &transfer->body;
	long		status = 0;

	curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	response->status = (int) status;
	if (!read_headers(transfer))
		return false;
	response->content_type = SaasResponseHeader(response, "content-type");
	if (response->content_type == NULL)
		response->content_type = "";

	if (body->data == NULL && !reserve(body, 0))
		return give_up(transfer, TRANSFER_FAULT_MEMORY);
	body->data[body->length] = '\0';
	if (!SaasArenaAdopt(transfer->arena, body->data, body->length + 1))
		return give_up(transfer, TRANSFER_FAULT_MEMORY);
	response->body = body->data;
	response->body_length = body->length;
	memset(body, 0, sizeof(*body));
	return true;
}

void
SaasTransferAnswerReset(SaasTransfer *transfer)
{
	free_buffer(&transfer->headers);
	free_buffer(&transfer->body);
	transfer->connecting_at = 0;
	transfer->connected_at = 0;
	transfer->requesting_at = 0;
	transfer->answering_at = 0;
	transfer->interim = false;
	transfer->headers_done = false;
	transfer->header_bytes = 0;
	transfer->header_count = 0;
}
