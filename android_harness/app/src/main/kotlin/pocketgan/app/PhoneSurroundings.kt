package pocketgan.app

import android.content.Context
import android.content.pm.ApplicationInfo
import pocketgan.measure.NanoClock
import pocketgan.measure.Surroundings
import pocketgan.schema.AppBuild
import pocketgan.schema.DeviceInfo

/** The phone around a measurement. */
internal class PhoneSurroundings(context: Context, clock: NanoClock) : Surroundings {
    private val conditions = PhoneConditions(context, clock)

    override val info: DeviceInfo = phoneFacts(context)

    /** A debuggable app runs with checks that a release has not; by whom it is signed does not matter. */
    override val appBuild: AppBuild =
        if (context.applicationInfo.flags and ApplicationInfo.FLAG_DEBUGGABLE != 0) AppBuild.DEBUG else AppBuild.RELEASE

    override fun conditions() = conditions.read()

    override fun sleep(seconds: Double) = Thread.sleep((seconds * 1000).toLong())
}
