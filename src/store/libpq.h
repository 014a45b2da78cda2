/* SPDX-License-Identifier: MIT */
#ifndef LIBPQ_H
#define LIBPQ_H

#include <libpq-fe.h>
#include <stdbool.h>

/*
 * libpq: PostgreSQL's client library, loaded when first needed; who includes this
 * uses its names as ever, once libpq_load() has said true.  What has a connection
 * or a result has been through that.
 */
#define LIBPQ_FUNCTIONS(F)      \
	F(PQclear)              \
	F(PQconnectPoll)        \
	F(PQconnectStartParams) \
	F(PQconninfoFree)       \
	F(PQconninfoParse)      \
	F(PQconsumeInput)       \
	F(PQenterPipelineMode)  \
	F(PQerrorMessage)       \
	F(PQexitPipelineMode)   \
	F(PQfinish)             \
	F(PQflush)              \
	F(PQfreemem)            \
	F(PQftype)              \
	F(PQgetResult)          \
	F(PQgetisnull)          \
	F(PQgetlength)          \
	F(PQgetvalue)           \
	F(PQisBusy)             \
	F(PQnfields)            \
	F(PQnotifies)           \
	F(PQntuples)            \
	F(PQpipelineSync)       \
	F(PQresultErrorField)   \
	F(PQresultErrorMessage) \
	F(PQresultMemorySize)   \
	F(PQresultStatus)       \
	F(PQsendQuery)          \
	F(PQsendQueryParams)    \
	F(PQsetNoticeReceiver)  \
	F(PQsetnonblocking)     \
	F(PQsocket)             \
	F(PQstatus)             \
	F(PQtransactionStatus)

extern struct libpq {
#define DECLARE(name) __typeof__(name) *name;
	LIBPQ_FUNCTIONS(DECLARE)
#undef DECLARE
} libpq;

/* Load it, once; any thread.  False: it cannot be loaded. */
bool libpq_load(void);

#ifndef LIBPQ_OWN
#define PQclear (*libpq.PQclear)
#define PQconnectPoll (*libpq.PQconnectPoll)
#define PQconnectStartParams (*libpq.PQconnectStartParams)
#define PQconninfoFree (*libpq.PQconninfoFree)
#define PQconninfoParse (*libpq.PQconninfoParse)
#define PQconsumeInput (*libpq.PQconsumeInput)
#define PQenterPipelineMode (*libpq.PQenterPipelineMode)
#define PQerrorMessage (*libpq.PQerrorMessage)
#define PQexitPipelineMode (*libpq.PQexitPipelineMode)
#define PQfinish (*libpq.PQfinish)
#define PQflush (*libpq.PQflush)
#define PQfreemem (*libpq.PQfreemem)
#define PQftype (*libpq.PQftype)
#define PQgetResult (*libpq.PQgetResult)
#define PQgetisnull (*libpq.PQgetisnull)
#define PQgetlength (*libpq.PQgetlength)
#define PQgetvalue (*libpq.PQgetvalue)
#define PQisBusy (*libpq.PQisBusy)
#define PQnfields (*libpq.PQnfields)
#define PQnotifies (*libpq.PQnotifies)
#define PQntuples (*libpq.PQntuples)
#define PQpipelineSync (*libpq.PQpipelineSync)
#define PQresultErrorField (*libpq.PQresultErrorField)
#define PQresultErrorMessage (*libpq.PQresultErrorMessage)
#define PQresultMemorySize (*libpq.PQresultMemorySize)
#define PQresultStatus (*libpq.PQresultStatus)
#define PQsendQuery (*libpq.PQsendQuery)
#define PQsendQueryParams (*libpq.PQsendQueryParams)
#define PQsetNoticeReceiver (*libpq.PQsetNoticeReceiver)
#define PQsetnonblocking (*libpq.PQsetnonblocking)
#define PQsocket (*libpq.PQsocket)
#define PQstatus (*libpq.PQstatus)
#define PQtransactionStatus (*libpq.PQtransactionStatus)
#endif

#endif
