/*
 * transfer_answer.c
 *	  What comes back, within its bounds.
 *
 * Sizes are counted as bytes arrive, after decompression: a Content-Length
 * may lie and a small gzip stream may unfold without end.  What unfolds into
 * another compressed stream is refused: libcurl goes through all of the inner
 * one before it hands out a byte, and a few KB of it take hours.
 */
#include "net/transfer_internal.h"

#include <strings.h>

#define FIRST_CAPACITY		1024

/* As much as an answer announces is reserved at once, but not any lie. */
#define MAX_RESERVED		(256 * 1024)

/* What the bodies of all transfers may take, or eight of the largest. */
#define MAX_BUFFERED		((size_t) 256 * 1024 * 1024)

static void
free_buffer(TransferBuffer *buffer)
{
	if (buffer->data != NULL)
		explicit_bzero(buffer->data, buffer->length);
	free(buffer->data);
	memset(buffer, 0, sizeof(*buffer));
}

/* Not realloc, which would leave a copy behind unwiped. */
static bool
reserve(TransferBuffer *buffer, size_t capacity)
{
	TransferBuffer grown = {malloc(capacity), buffer->length, capacity};

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

/* The value of the line when it is the header of that name; NULL when it is another. */
static const char *
value_of(const char *line, size_t length, const char *name)
{
	size_t		name_length = strlen(name);

	if (length < name_length || strncasecmp(line, name, name_length) != 0)
		return NULL;
	for (const char *p = line + name_length; p < line + length; p++)
	{
		if (*p == ':')
			return p + 1;
		if (*p != ' ' && *p != '\t')
			break;
	}
	return NULL;
}

static bool
is_word(const char *text, size_t length, const char *word)
{
	return strlen(word) == length && strncasecmp(text, word, length) == 0;
}

/* Whether the list of codings holds none but those that were asked for; *count of them compress. */
static bool
are_acceptable(const char *list, const char *end, bool is_framing, int *count)
{
	while (list < end)
	{
		const char *comma = memchr(list, ',', (size_t) (end - list));
		const char *stop = comma == NULL ? end : comma;
		size_t		length;

		while (list < stop && (*list == ' ' || *list == '\t'))
			list++;
		length = (size_t) (stop - list);
		while (length > 0 && (list[length - 1] == ' ' || list[length - 1] == '\t'))
			length--;
		if (length == 0 || is_word(list, length, "identity") ||
			(is_framing && is_word(list, length, "chunked")))
			 /* nothing to unfold */ ;
		else if (!is_framing && (is_word(list, length, "gzip") || is_word(list, length, "x-gzip") ||
								 is_word(list, length, "deflate")))
			(*count)++;
		else
			return false;
		list = comma == NULL ? end : comma + 1;
	}
	return true;
}

/* libcurl heeds these lines in interim answers too, and adds up what they list. */
static bool
check_codings(SaasTransfer *transfer, const char *line, size_t length)
{
	const char *content = value_of(line, length, "content-encoding");
	const char *framing = value_of(line, length, "transfer-encoding");

	if ((content == NULL || are_acceptable(content, line + length, false, &transfer->codings)) &&
		(framing == NULL || are_acceptable(framing, line + length, true, &transfer->codings)) &&
		transfer->codings <= 1)
		return true;
	return give_up(transfer, TRANSFER_FAULT_ENCODING);
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
	if (!check_codings(transfer, line, length))
		return 0;

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

static void
free_body(SaasTransfer *transfer, TransferBuffer *body)
{
	transfer->loop->buffered -= body->capacity;
	free_buffer(body);
}

static SaasTransfer *
largest_of(SaasTransferLoop *loop)
{
	SaasTransfer *largest = NULL;
	dlist_iter	iter;

	dlist_foreach(iter, &loop->transfers)
	{
		SaasTransfer *transfer = dlist_container(SaasTransfer, all_node, iter.cur);

		if (transfer->state == TRANSFER_ACTIVE &&
			(largest == NULL || transfer->body.capacity > largest->body.capacity))
			largest = transfer;
	}
	return largest;
}

/*
 * Finds room for another growth bytes of a body.  Where there is none, the
 * largest goes, so that who lets many large answers arrive slowly pays before
 * others do; libcurl is told later, since this runs inside of it.
 */
static bool
make_room(SaasTransfer *transfer, size_t growth)
{
	SaasTransferLoop *loop = transfer->loop;

	while (loop->buffered + growth > Max(MAX_BUFFERED, 8 * loop->options.max_response))
	{
		SaasTransfer *largest = largest_of(loop);

		if (largest == NULL || largest->body.capacity <= transfer->body.capacity)
			return give_up(transfer, TRANSFER_FAULT_CROWD);
		free_body(largest, &largest->body);
		largest->fault = TRANSFER_FAULT_CROWD;
		loop->has_fault = true;
	}
	return true;
}

/* Without this a long body would be copied each time that it has doubled. */
static void
expect_body(SaasTransfer *transfer)
{
	SaasTransferLoop *loop = transfer->loop;
	curl_off_t	announced = -1;
	size_t		wanted;

	(void) curl_easy_getinfo(transfer->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &announced);
	if (announced <= 0)
		return;
	/* With the NUL that follows it in the end. */
	wanted = (size_t) Min(announced, Min(transfer->max_body, MAX_RESERVED)) + 1;
	if (loop->buffered + wanted <= MAX_BUFFERED && reserve(&transfer->body, wanted))
		loop->buffered += wanted;
}

static bool
append_body(SaasTransfer *transfer, const char *bytes, size_t length)
{
	TransferBuffer *body = &transfer->body;
	size_t		before = body->capacity;

	if (length > before - body->length && !make_room(transfer, Max(length, before)))
		return false;
	if (!append(body, bytes, length))
		return give_up(transfer, TRANSFER_FAULT_MEMORY);
	transfer->loop->buffered += body->capacity - before;
	return true;
}

static size_t
receive_body(char *bytes, size_t size, size_t count, void *data)
{
	SaasTransfer *transfer = data;
	size_t		length = size * count;

	if (transfer->fault != TRANSFER_FAULT_NONE)
		return 0;
	if (length > transfer->max_body - transfer->body.length)
	{
		give_up(transfer, TRANSFER_FAULT_BODY);
		return 0;
	}
	if (transfer->body.data == NULL)
		expect_body(transfer);
	return append_body(transfer, bytes, length) ? length : 0;
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

/* Cuts the header out of a line whose end may be written to; NULL when there is none or memory is out. */
static SaasHeader *
cut_header(SaasTransfer *transfer, char *line, char *end)
{
	char	   *colon = memchr(line, ':', (size_t) (end - line));
	char	   *value;
	SaasHeader *header;

	if (colon == NULL || colon == line)
		return NULL;
	value = colon + 1;
	while (value < end && (*value == ' ' || *value == '\t'))
		value++;
	while (value < end && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	*colon = '\0';
	*end = '\0';

	header = SaasArenaAlloc(transfer->arena, sizeof(SaasHeader));
	if (header == NULL)
	{
		give_up(transfer, TRANSFER_FAULT_MEMORY);
		return NULL;
	}
	for (char *p = line; *p != '\0'; p++)
		*p = (char) pg_ascii_tolower((unsigned char) *p);
	SaasCleanText(line);
	SaasCleanText(value);
	header->name = line;
	header->value = value;
	return header;
}

static bool
read_headers(SaasTransfer *transfer)
{
	SaasHeader **last = &transfer->result.response.headers;
	size_t		length = transfer->headers.length;
	char	   *line;
	const char *end;

	*last = NULL;
	if (length == 0)
		return true;
	line = SaasArenaStrndup(transfer->arena, transfer->headers.data, length);
	if (line == NULL)
		return give_up(transfer, TRANSFER_FAULT_MEMORY);
	end = line + length;
	while (line < end)
	{
		char	   *next = memchr(line, '\n', (size_t) (end - line));

		*last = cut_header(transfer, line, next);
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
	long		status = 0;

	curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	response->status = (int) status;
	if (!read_headers(transfer))
		return false;
	response->content_type = SaasResponseHeader(response, "content-type");
	if (response->content_type == NULL)
		response->content_type = "";

	/* A NUL behind it, for whoever looks one byte too far. */
	response->body_length = transfer->body.length;
	if (!append_body(transfer, "", 1))
		return false;
	response->body = transfer->body.data;
	transfer->kept_body = transfer->body;
	memset(&transfer->body, 0, sizeof(transfer->body));
	return true;
}

void
SaasTransferAnswerForget(SaasTransfer *transfer)
{
	free_body(transfer, &transfer->kept_body);
}

void
SaasTransferAnswerReset(SaasTransfer *transfer)
{
	free_buffer(&transfer->headers);
	free_body(transfer, &transfer->body);
	transfer->connecting_at = 0;
	transfer->connected_at = 0;
	transfer->requesting_at = 0;
	transfer->answering_at = 0;
	transfer->interim = false;
	transfer->headers_done = false;
	transfer->header_bytes = 0;
	transfer->header_count = 0;
	transfer->codings = 0;
}
